"""The first load and the events as change events in a topic, as `topline ingest` or Debezium would write them."""

from collections.abc import Iterator

import numpy as np
from confluent_kafka import Producer

from bench.events.content import COLUMNS, text_table
from bench.events.stream import Flags, Ints, Kind, Stream
from bench.events.write import letters, spoilt
from topline.changes import TableChanges
from topline.kafka.envelope import Origin, Records, Writer
from topline.schema import Column, TableSchema, Type

TABLE = TableSchema("branches.sales", tuple(Column(name, Type.TEXT) for name in COLUMNS), ("sale_id",))
TORN = b"{"
"""The value of a record that cannot be read."""
_ROWS = 100_000
_WAITING = 200_000
_BY = Origin("bench", "branches", 1_767_225_600_000)


def write_load(stream: Stream, brokers: str, topic: str, writer: Writer) -> None:
    sales = np.arange(stream.load)
    nothing = np.zeros(_ROWS, np.bool_)
    chunks = (sales[begin : begin + _ROWS] for begin in range(0, stream.load, _ROWS))
    _send(brokers, topic, (_records(stream, c, np.zeros(len(c), np.int64), (nothing, nothing), writer) for c in chunks))


def write_events(stream: Stream, brokers: str, topic: str, writer: Writer, events: Ints) -> None:
    def made() -> Iterator[Records]:
        for begin in range(0, len(events), _ROWS):
            chunk = events[begin : begin + _ROWS]
            kind = stream.kind[chunk]
            flags = (kind == Kind.DELETE, kind == Kind.BROKEN)
            yield _records(stream, stream.sale[chunk], stream.version[chunk], flags, writer)

    _send(brokers, topic, made())


def _records(stream: Stream, sale: Ints, version: Ints, flags: tuple[Flags, Flags], writer: Writer) -> Records:
    """`flags`: which are deletions, and which are broken, of these every second one beyond reading."""
    deleted, broken = (flag[: len(sale)] for flag in flags)
    rows = stream.fields(sale, version)
    places = np.arange(len(sale))
    table = spoilt(text_table(rows), broken).cast(TABLE.arrow)
    records = writer.records(
        "bench", TABLE, TableChanges(TABLE.name, "bench", table, deleted.astype(np.int8), places, places), _BY
    )
    at = places + np.concatenate([[0], np.cumsum(deleted)[:-1]])  # a deletion is two records
    for place in at[letters(sale, broken)].tolist():
        records.values[place] = TORN
    return records


def _send(brokers: str, topic: str, parts: Iterator[Records]) -> None:
    producer = Producer(
        {"bootstrap.servers": brokers, "linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 2 * _WAITING}
    )
    for records in parts:
        while len(producer) > _WAITING:
            producer.poll(0.1)
        pairs = zip(records.keys, records.values, strict=True)
        producer.produce_batch(topic, [{"key": key, "value": value} for key, value in pairs])
    assert producer.flush(600) == 0
