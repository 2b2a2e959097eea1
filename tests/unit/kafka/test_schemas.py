"""The versioned schemas of the shipped topics: the newest are those of today; each version reads what the one before wrote."""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro import utils
from fastavro.read import SchemaResolutionError

from topline.config import load_project
from topline.ingest.schemas import made, stale, versions

ROOT = Path(__file__).resolve().parents[3]
STORED = versions(ROOT / "schemas")


def require_readable(older: Any, newer: Any) -> None:
    """What is written with `older`, `newer` reads (BACKWARD). SchemaResolutionError where it cannot."""
    writer, reader = (fastavro.parse_schema(json.loads(json.dumps(schema))) for schema in (older, newer))
    for record in utils.generate_many(writer, 20):
        target = io.BytesIO()
        fastavro.schemaless_writer(target, writer, record)
        target.seek(0)
        fastavro.schemaless_reader(target, writer, reader)


def test_the_newest_versions_are_those_of_the_shipped_tables() -> None:
    missing = [str(path) for path, _ in stale(made(load_project(ROOT / "sales")), ROOT / "schemas")]
    assert not missing, "stale: python -m topline.ingest.schemas sales schemas"


@pytest.mark.parametrize("which", sorted(STORED), ids=" ".join)
def test_each_version_reads_what_the_one_before_wrote(which: tuple[str, str]) -> None:
    for older, newer in pairwise([STORED[which][0], *STORED[which]]):
        require_readable(older, newer)


def test_a_column_may_come_and_go_and_may_not_change_its_type(tmp_path: Path) -> None:
    value = STORED["branches.files.sales", "value"][-1]
    fields = value["fields"][0]["type"][1]["fields"]

    def having(columns: list[Any]) -> Any:
        changed = json.loads(json.dumps(value))
        changed["fields"][0]["type"][1]["fields"] = columns
        return changed

    less, more = having(fields[:-1]), having([*fields, {"name": "new", "type": ["null", "long"], "default": None}])
    require_readable(value, less)
    require_readable(value, more)
    with pytest.raises(SchemaResolutionError):
        require_readable(value, having([{**fields[0], "type": ["null", "long"]}, *fields[1:]]))
    for number, schema in enumerate((value, less, more), 1):
        path = tmp_path / "topic" / f"value.{number}.avsc"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(schema))
    assert versions(tmp_path)["topic", "value"] == [value, less, more]
    assert [path.name for path, _ in stale({("topic", "value"): value}, tmp_path)] == ["value.4.avsc"]
    assert list(stale({("topic", "value"): more}, tmp_path)) == []
