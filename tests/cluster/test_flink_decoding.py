"""Whatever the bytes of a record are, Flink's job reads of it what the live engine reads, or keeps it as a dead letter as that
one does: records that are whole, and records of which some bytes were changed, taken out or put in."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cluster.stack import Stack
from tests.servers import schemas
from topline.cluster.flink.gateway import Session
from topline.cluster.flink.reading import FUNCTIONS
from topline.cluster.flink.settings import Server
from topline.kafka.avro.format import AvroFormat
from topline.kafka.events import Format, Wanted
from topline.kafka.json.format import JsonFormat

pytestmark = pytest.mark.cluster
SEED, COUNT = 20_261_122, 3_000
COLUMNS = ("id", "city", "number", "flag")
Record = tuple[bytes | None, bytes | None]
Read = tuple[bool, Mapping[str, str | None]] | None
"""Of a record: whether the row is gone, and its columns as text; None: it is a dead letter."""
TEXTS = (None, "", "Roma", "città", "🙂", 'a\\b"c', "x" * 300, "\x01")
KEY = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "string"}]}
ROW = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "city", "type": ["null", "string"]},
        {"name": "number", "type": ["null", "long"]},
        {"name": "flag", "type": ["null", "boolean"]},
        {"name": "others", "type": {"type": "array", "items": "string"}},
    ],
}
SOURCE = {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}, {"name": "db", "type": "string"}]}
EVENT = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "before", "type": ["null", ROW]},
        {"name": "after", "type": ["null", "Row"]},
        {"name": "source", "type": SOURCE},
        {"name": "op", "type": "string"},
        {"name": "more", "type": {"type": "map", "values": ["null", "double", {"type": "fixed", "name": "F", "size": 3}]}},
    ],
}
SCHEMAS = {1: KEY, 2: EVENT}


def test_records_in_json(stack: Stack, tmp_path: Path) -> None:
    made = records(lambda key: json.dumps(key).encode(), lambda event: json.dumps(event, ensure_ascii=False).encode())
    require_same(stack, tmp_path, JsonFormat(), made, {})


def test_records_in_avro(stack: Stack, tmp_path: Path) -> None:
    made = records(
        lambda key: schemas.record(SCHEMAS, 1, key),
        lambda event: schemas.record(SCHEMAS, 2, {**event, "more": {"a": 1.5, "b": b"abc", "c": None}}),
    )
    registry = schemas.serve(SCHEMAS)
    url = {"pipeline.global-job-parameters.topline.registry.url": registry.url}
    require_same(stack, tmp_path, AvroFormat(SCHEMAS.get), made, url)
    registry.close()


def records(key: Callable[[Any], bytes], value: Callable[[Any], bytes]) -> list[Record]:
    random = Random(SEED)
    found: list[Record] = []
    for number in range(COUNT):
        row = {
            "id": str(number), "city": random.choice(TEXTS), "number": random.choice([None, 0, -1, 2**40]),
            "flag": random.choice([None, True, False]), "others": ["a", "b"],
        }  # fmt: skip
        op = random.choice("cuurdx")
        event = {"before": None, "after": None if op == "d" else row, "source": {"ts_ms": 7, "db": "shop"}, "op": op}
        pair: Record = (key({"id": str(number)}), value(event) if number % 10 else None)
        found.append(pair if number % 4 == 0 else (damaged(random, pair[0], 0.3), damaged(random, pair[1], 0.9)))
    return [*found, (None, value({**event, "op": "d", "after": None})), (None, None), (b"", b"")]


def damaged(random: Random, record: bytes | None, share: float) -> bytes | None:
    """In `share` of all."""
    if record is None or random.random() > share:
        return record
    place = random.randrange(len(record))
    match random.randrange(4):
        case 0:
            return record[:place]
        case 1:
            return record[:place] + bytes([random.randrange(256)]) + record[place + 1 :]
        case 2:
            return record[:place] + record[place + 1 :]
    return record[:place] + random.randbytes(random.randrange(1, 4)) + record[place:]


def require_same(stack: Stack, folder: Path, format_: Format, made: Sequence[Record], settings: Mapping[str, str]) -> None:
    live = by_live(format_, made)
    flink = by_flink(stack, folder, made, settings)
    format_.close()
    wrong = [(made[place], live[place], flink[place]) for place in range(len(made)) if live[place] != flink[place]]
    assert wrong == []
    assert sum(read is None for read in live) > COUNT / 4
    assert sum(read is not None for read in live) > COUNT / 4


def by_live(format_: Format, made: Sequence[Record]) -> list[Read]:
    keys, values = zip(*made, strict=True)
    found: list[Read] = [None] * len(made)
    for rows in format_.read(keys, values, Wanted(COLUMNS, ("id",))).rows:
        columns = {name: column.values.to_pylist() for name, column in rows.columns.items()}
        for number, place in enumerate(rows.places.tolist()):
            row = {name: shown(columns[name][number]) if name in columns else None for name in COLUMNS}
            # What has no key, and what is no text, is kept a step later.
            if row["id"] is not None and "\0" not in "".join(value or "" for value in row.values()):
                found[place] = (bool(rows.deleted[number]), row)
    return found


def shown(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def by_flink(stack: Stack, folder: Path, made: Sequence[Record], settings: Mapping[str, str]) -> list[Read]:
    """The function of the job, over a file of the records."""

    def digits(record: bytes | None) -> str | None:
        return None if record is None else record.hex()

    lines = [json.dumps({"place": at, "k": digits(key), "v": digits(value)}) for at, (key, value) in enumerate(made)]
    (folder / "records").write_text("\n".join(lines))
    session = Session(Server(url=stack.flink.gateway_url), folder, 120, {"execution.runtime-mode": "batch", **settings})
    for statement in FUNCTIONS:
        session.run(statement)
    session.run(
        "CREATE TEMPORARY TABLE records (place INT, k STRING, v STRING) WITH ('connector' = 'filesystem', 'format' = 'json', "
        f"'path' = '{(folder / 'records').as_uri()}')"
    )
    row = ", ".join(f"COALESCE(event.`row`['{name}'], event.`key`['{name}'])" for name in COLUMNS)
    events = "SELECT place, change_event(UNHEX(k), UNHEX(v)) AS event FROM records"
    query = f"SELECT place, event.problem IS NULL, event.op, {row} FROM ({events})"
    found: list[Read] = [None] * len(made)
    for place, good, op, *values in session.run(query):
        if good and values[0] is not None:  # the job's next step keeps what has no key
            found[place] = (op == "d", dict(zip(COLUMNS, values, strict=True)))
    session.close()
    return found
