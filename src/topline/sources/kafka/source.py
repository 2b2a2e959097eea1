"""The Kafka source: reads each table's topic from where the log stands. Offsets are its positions, and no other place has them.

A topic that is read from its start (the first time; made anew; or its reader was away for longer than deletions are kept) is a
new generation: at the end that it had when it was opened, what was not seen again is retracted.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from topline.changes import DELETE, DeadLetter, Part, Position, SourceBatch, TableChanges
from topline.errors import ConfigError, ToplineError
from topline.kafka.client import (
    OFFSET_BEGINNING,
    Client,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
    arrived,
    failure,
    translated,
)
from topline.kafka.events import Format
from topline.kafka.formats import format_of
from topline.kafka.settings import KafkaSettings
from topline.sources.base import Context, Fault, Progress, Resume
from topline.sources.declared import lacking_tables, strange_tables
from topline.sources.kafka.reading import Reading, following
from topline.sources.kafka.settings import Settings
from topline.sources.kafka.standing import Standing
from topline.sources.kafka.topics import Topic, look, require_same_partitions

_KEY = "key of "  # a letter's locator: its bytes are the record's key
_FETCHED = 128 << 20  # bytes that the client library may hold before they are asked for
_TOLD = 3600.0  # seconds between two notes that a topic on which nothing happens was read to its end


class KafkaSource:
    """One thread reads it; `check`, `current`, `resync` and `reread` stand alone."""

    shared = True

    def __init__(self, context: Context, cluster: KafkaSettings, topics: Mapping[str, str], zone: str) -> None:
        """`topics`: table (short name) -> its topic. ConfigError for a file of the cluster's settings."""
        self.name = context.name
        self._context, self._cluster, self._zone = context, cluster, ZoneInfo(zone)
        self._client = Client(cluster, context.root, f"topline-{context.name}")
        self._topics = dict(topics)
        self._tables = {topic: table for table, topic in topics.items()}
        self._readings: dict[str, Reading] = {}
        self._consumer: Consumer | None = None
        self._format: Format | None = None
        self._down: KafkaError | None = None
        self._records = 0

    @property
    def topics(self) -> Mapping[str, str]:
        """Table (short name) -> its topic."""
        return self._topics

    @property
    def zone(self) -> str:
        """That of times which carry none."""
        return str(self._zone)

    def check(self) -> list[Fault]:
        """A topic in which nothing is yet is none: an empty table has one."""
        try:
            self._look()
        except ToplineError as error:
            return [Fault(f"sources.{self.name}", str(error), "mend `kafka` in topline.yml, or make the topic")]
        return []

    def open(self, resume: Resume) -> None:
        self.close()
        self._format = format_of(self._cluster, self._context.root)
        self._down = None
        self._consumer = self._client.consumer(
            self._group, **{"queued.max.messages.kbytes": _FETCHED >> 10, "error_cb": self._note}
        )
        found = self._look()
        self._readings = {table: self._reading(table, found[topic], resume) for table, topic in self._topics.items()}
        with translated(f"read {', '.join(self._tables)}"):
            self._consumer.assign(
                [
                    TopicPartition(reading.topic.name, partition, offset if offset else OFFSET_BEGINNING)
                    for reading in self._readings.values()
                    for partition, offset in reading.next.items()
                ]
            )

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        if self._consumer is None:
            return None
        with translated(f"read {', '.join(self._tables)}"):
            messages = arrived(self._consumer, max_rows, timeout)
        if self._down is not None and not messages:
            raise failure(self._down, f"read {', '.join(self._tables)}")
        return self._batch(messages)

    def acknowledge(self, positions: Mapping[str, Position]) -> None:
        """The brokers are told as well, for whoever watches a group's lag; it is not what we go by."""
        offsets = []
        for partition, position in positions.items():
            table, _, number = partition.rpartition("/")
            if table in self._topics:
                offsets.append(TopicPartition(self._topics[table], int(number), following(position)))
        if self._consumer is not None and offsets:
            with suppress(KafkaException):
                self._consumer.commit(offsets=offsets, asynchronous=True)

    def reached_end(self) -> bool:
        return bool(self._readings) and not any(reading.unread for reading in self._readings.values())

    def progress(self) -> Progress:
        behind = sum(self._behind(reading) for reading in self._readings.values())
        copying = not all(reading.standing.ended for reading in self._readings.values())
        unclean = [table for table, reading in self._readings.items() if not reading.standing.clean]
        details = [f"{behind:,} records behind"] if behind else []
        details += [f"{', '.join(unclean)} has records that cannot be read"] if unclean else []
        phase = "copying" if copying else "streaming" if behind else "idle"
        return Progress(phase, self._records, detail="; ".join(details))

    def current(self, table: str) -> Iterator[pa.Table]:
        """The last record of each key, from a reading of its own."""
        context = replace(self._context, tables={table: self._context.tables[table]})
        other = KafkaSource(context, self._cluster, {table: self._topics[table]}, str(self._zone))
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        try:
            other.open(Resume())
            while not other.reached_end():
                if (batch := other.read(100_000, 1.0)) is not None:
                    _apply(rows, batch, context.tables[table].key)
        finally:
            other.close()
        if rows:
            yield pa.Table.from_pylist(list(rows.values()), schema=context.tables[table].arrow)

    def resync(self, table: str | None, resume: Resume) -> dict[str, bytes | None]:
        names = self._topics if table is None else (table,)
        return {name: Standing.load(resume.memory, name).forgotten().dump() for name in names}

    def reread(self, letter: DeadLetter) -> TableChanges | DeadLetter:
        table = letter.table.partition(".")[2]
        format_ = format_of(self._cluster, self._context.root)
        try:
            reading = Reading(table, self._context.tables[table], Standing(generation=letter.position.hi), self._zone)
            is_key = letter.locator.startswith(_KEY)
            record = (letter.raw, None) if is_key else (None, letter.raw)
            return reading.reread(format_, record, letter)
        finally:
            format_.close()

    def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        format_, self._format = self._format, None
        self._readings = {}
        if consumer is not None:
            with suppress(KafkaException, RuntimeError):
                consumer.close()
        if format_ is not None:
            format_.close()

    def _note(self, error: KafkaError) -> None:
        """The library goes on by itself, and says nothing more, when brokers are gone: the source says so and begins anew."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = error

    @property
    def _group(self) -> str:
        return f"topline-{self.name}"

    def _look(self) -> dict[str, Topic]:
        consumer = self._consumer or self._client.consumer(self._group)
        try:
            with self._client.reaching():
                return look(self._client.admin(), consumer, list(self._tables), self._cluster.timeout)
        finally:
            if consumer is not self._consumer:
                consumer.close()

    def _reading(self, table: str, topic: Topic, resume: Resume) -> Reading:
        """From where the log stands, or from the start."""
        now = time.time()
        before = Standing.load(resume.memory, table)
        if before.topic == topic.id:
            require_same_partitions(topic.name, before.partitions, len(topic.end), f"topline resync {self.name}.{table}")
        at = {number: resume.positions.get(f"{table}/{number}") for number in topic.end}
        offsets = {number: following(p) if p and p.hi == before.generation else 0 for number, p in at.items()}
        known = before.topic == topic.id and now - before.seen < topic.keeps
        readable = all(topic.first[number] <= offset <= topic.end[number] for number, offset in offsets.items() if offset)
        goes_on = known and readable and all(offset or not topic.first[number] for number, offset in offsets.items())
        standing = before if goes_on else before.anew(topic.id, len(topic.end), now)
        reading = Reading(table, self._context.tables[table], standing, self._zone)
        reading.begin(topic, offsets if goes_on else dict.fromkeys(topic.end, 0))
        return reading

    def _batch(self, messages: Sequence[Message]) -> SourceBatch | None:
        assert self._format is not None
        records = self._sorted(messages)
        parts: list[Part] = []
        letters: list[DeadLetter] = []
        positions: dict[str, Position] = {}
        memory: dict[str, bytes | None] = {}
        newest = 0
        for table, reading in self._readings.items():
            read = reading.take(self._format, records.get(table, []))
            parts += read.parts
            letters += [self._letter(reading, letter) for letter in read.letters]
            positions |= read.positions
            newest = max(newest, read.newest)
            memory |= reading.remember(time.time(), _TOLD)
        if not (parts or letters or positions or memory):
            return None
        copying = not all(reading.standing.ended for reading in self._readings.values())
        moment = datetime.fromtimestamp(newest / 1000, UTC) if newest else None
        return SourceBatch(self.name, tuple(parts), positions, tuple(letters), memory, copying=copying, time=moment)

    def _sorted(self, messages: Sequence[Message]) -> dict[str, list[Message]]:
        """The records of each table; ends of partitions are noted."""
        found: dict[str, list[Message]] = {}
        for message in messages:
            if (error := message.error()) is not None:
                self._ended(message, error)
            elif (topic := message.topic()) in found:
                found[topic].append(message)
            else:
                found[str(topic)] = [message]
        self._records += sum(map(len, found.values()))
        return {self._tables[topic]: records for topic, records in found.items()}

    def _ended(self, message: Message, error: KafkaError) -> None:
        """A partition is at its end; else TransientError or SourceNotReady."""
        if error.code() != KafkaError._PARTITION_EOF:
            raise failure(error, f"read {message.topic() or ', '.join(self._tables)}")
        self._readings[self._tables[str(message.topic())]].unread.pop(int(message.partition() or 0), None)

    def _letter(self, reading: Reading, letter: DeadLetter) -> DeadLetter:
        _, _, partition = letter.partition.rpartition("/")
        place = f"{reading.topic.name}[{partition}] at offset {letter.position.lo // 2}"
        return replace(letter, locator=f"{_KEY if letter.locator == 'key' else ''}{place}")

    def _behind(self, reading: Reading) -> int:
        if self._consumer is None:
            return 0
        total = 0
        for number, offset in reading.next.items():
            try:
                _, end = self._consumer.get_watermark_offsets(TopicPartition(reading.topic.name, number), cached=True)
            except KafkaException:
                continue
            total += max(0, end - offset) if number in reading.unread or end > offset + 1 else 0
        return total


def _apply(rows: dict[tuple[Any, ...], dict[str, Any]], batch: SourceBatch, key: Sequence[str]) -> None:
    for part in batch.parts:
        if isinstance(part, TableChanges):
            for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True):
                name = tuple(row[column] for column in key)
                rows.pop(name, None)
                if op != DELETE:
                    rows[name] = row


def create(context: Context, settings: Settings) -> KafkaSource:
    """ConfigError, a fault a line, where the tables do not fit what the models declare."""
    faults = [
        *strange_tables(context.tables, settings.tables),
        *lacking_tables(context.tables, settings.tables, "has no topic here", "TOPIC"),
    ]
    if context.kafka is None:
        faults.append("the project has no cluster; write `kafka:` with its `brokers`")
    if faults:
        raise ConfigError("\n".join(faults))
    assert context.kafka is not None
    return KafkaSource(context, context.kafka, settings.tables, settings.zone)
