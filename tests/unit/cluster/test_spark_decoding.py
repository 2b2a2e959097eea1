"""Records become one struct each, whatever they are; and Kafka's settings in the words of its Java client."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from topline.cluster.spark.brokers import options
from topline.cluster.spark.decoding import decoded
from topline.kafka.events import UNAVAILABLE
from topline.kafka.json.format import JsonFormat
from topline.kafka.settings import KafkaSettings
from topline.schema import Column, TableSchema, Type

TABLE = TableSchema(
    "shop.orders", (Column("id", Type.BIGINT), Column("note", Type.TEXT), Column("at", Type.TIMESTAMP)), ("id",)
)


def event(op: str, after: dict[str, Any] | None, time: int = 7) -> bytes:
    return json.dumps({"op": op, "after": after, "source": {"ts_ms": time}}).encode()


def read(*records: tuple[bytes | None, bytes | None]) -> list[dict[str, Any]]:
    keys, values = (pa.array([record[side] for record in records], pa.binary()) for side in (0, 1))
    rows: list[dict[str, Any]] = decoded(JsonFormat(), TABLE, ZoneInfo("UTC"), keys, values).to_pylist()
    return rows


def test_each_record_stands_at_its_place() -> None:
    row = {"id": 1, "note": "x", "at": "2026-11-21 10:00:00"}
    found = read(
        (b'{"id": 1}', event("c", row)),
        (b'{"id": 2}', b"not JSON"),
        (b'{"id": 1}', event("d", None, 9)),
        (b'{"id": 3}', None),
        (b"nobody", None),
        (b'{"id": "x"}', event("u", {**row, "id": "x"})),
    )
    assert [one["op"] for one in found] == [0, None, 1, 1, None, None]
    assert [bool(one["reason"]) for one in found] == [False, True, False, False, True, True]
    assert [one["time"] for one in found][:4] == [7, 0, 9, 0]
    assert [one["row"]["id"] if one["row"] else None for one in found] == [1, None, 1, 3, None, None]
    assert found[0]["row"]["at"].isoformat() == "2026-11-21T10:00:00+00:00"
    assert found[4]["reason"].startswith("key: ")


def test_what_toast_left_out_is_told_by_the_tables_columns() -> None:
    [whole] = read((b'{"id": 1}', event("u", {"id": 1, "note": UNAVAILABLE, "at": None})))
    assert (whole["unchanged"], whole["lacking"], whole["row"]["note"]) == (0b010, 0, None)
    [narrow] = read((b'{"id": 1}', event("u", {"note": UNAVAILABLE, "id": 1})))
    assert (narrow["unchanged"], narrow["lacking"]) == (0b010, 0b100)


def test_no_record_and_only_bad_ones_give_as_many_structs() -> None:
    assert read() == []
    assert [one["op"] for one in read((None, b"\xff"), (None, b"{}"))] == [None, None]


def test_the_clusters_settings_in_the_words_of_kafkas_own_client(tmp_path: Path) -> None:
    key = "-----BEGIN PRIVATE KEY-----\n..."
    for name, text in {"ca.pem": "-- ca.pem --", "client.pem": "-- client.pem --", "client.key": key}.items():
        (tmp_path / name).write_text(text)
    settings = KafkaSettings.model_validate(
        {
            "brokers": ["a:1", "b:2"],
            "format": "json",
            "sasl": {"username": "top\\line", "password": 's"x'},
            "tls": {"ca": "ca.pem", "certificate": "client.pem", "key": "client.key"},
        }
    )
    found = options(settings, tmp_path)
    assert found["kafka.bootstrap.servers"] == "a:1,b:2"
    assert found["kafka.security.protocol"] == "SASL_SSL"
    assert found["kafka.isolation.level"] == "read_committed"
    assert found["kafka.sasl.jaas.config"] == (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="top\\\\line" password="s\\"x";'
    )
    assert found["kafka.ssl.truststore.certificates"] == "-- ca.pem --"
    assert found["kafka.ssl.keystore.key"] == key
    plain = options(KafkaSettings.model_validate({"brokers": "a:1", "format": "json"}), tmp_path)
    assert plain["kafka.security.protocol"] == "PLAINTEXT"
    assert not [name for name in plain if "ssl" in name or "sasl" in name]
