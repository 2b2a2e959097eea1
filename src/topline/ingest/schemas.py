"""The Avro schemas of a project's topics as files, a version each: `python -m topline.ingest.schemas PROJECT FOLDER`.

FOLDER/TOPIC/value.3.avsc is the third version of a topic's value. A version that was written stays as it is.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from topline.config import Project, load_project
from topline.kafka.avro.program import Schema
from topline.kafka.envelope import key_schema, value_schema
from topline.kafka.names import topic_of
from topline.live.start import load_plan

SCHEMAS = "public"  # the schema of a database's tables, where topline.yml names no other


def made(project: Project) -> dict[tuple[str, str], Schema]:
    """(topic, "key" or "value") -> its schema, of all tables that the models read, as `topline ingest` writes them."""
    found: dict[tuple[str, str], Schema] = {}
    for name, table in load_plan(project).tables.items():
        source, _, short = name.partition(".")
        kind = str(project.config.sources[source].get("kind", ""))
        topic = topic_of("", source, SCHEMAS if kind == "postgres" else kind, short)
        found[topic, "key"], found[topic, "value"] = key_schema(topic, table), value_schema(topic, table)
    return found


def versions(folder: Path) -> dict[tuple[str, str], list[Schema]]:
    """(topic, "key" or "value") -> its versions, the first one first."""
    found: dict[tuple[str, str], dict[int, Schema]] = {}
    for path in folder.glob("*/*.avsc"):
        part, number, _ = path.name.split(".")
        found.setdefault((path.parent.name, part), {})[int(number)] = json.loads(path.read_text())
    return {which: [schemas[number] for number in sorted(schemas)] for which, schemas in found.items()}


def stale(schemas: Mapping[tuple[str, str], Schema], folder: Path) -> Iterator[tuple[Path, Schema]]:
    """Files that are to be written, so that the newest versions are those of today."""
    known = versions(folder)
    for (topic, part), schema in schemas.items():
        before = known.get((topic, part), [])
        if not before or before[-1] != schema:
            yield folder / topic / f"{part}.{len(before) + 1}.avsc", schema


def write(project: Path, folder: Path) -> None:
    for path, schema in stale(made(load_project(project)), folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema, indent=2) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
