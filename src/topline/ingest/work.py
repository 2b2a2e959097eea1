"""One source on its way to Kafka: its batches as transactions, each with the positions and the memory that belong to it."""

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from topline.changes import Position, SchemaChange, SourceBatch, Sweep, TableChanges
from topline.errors import SourceHalted, TransientError
from topline.faults import point
from topline.ingest import replica, store
from topline.ingest.replica import Replica
from topline.ingest.sender import Sender
from topline.ingest.store import Stored
from topline.kafka.client import Client
from topline.kafka.envelope import Origin, Writer
from topline.kafka.formats import format_of, writer_of
from topline.kafka.names import dead_letters_of
from topline.kafka.settings import KafkaSettings
from topline.live.admission import without_replayed
from topline.schema import TableSchema
from topline.sources.reader import Reader
from topline.sources.registry import Ingested

_POLL = 0.1  # seconds that a turn waits for a batch
_SIGN_EVERY = 10.0  # seconds between two signs of life of a source on which nothing happens
_AT_ONCE = 100_000  # rows of a transaction, where more than one batch waits


@dataclass(frozen=True, slots=True)
class Setup:
    """What all sources of a worker share."""

    settings: KafkaSettings
    client: Client
    root: Path
    batch_rows: int


@dataclass(slots=True)
class Counts:
    """What was committed. A deletion is two records."""

    rows: int = 0
    records: int = 0
    dead_letters: int = 0
    transactions: int = 0

    def add(self, other: "Counts") -> None:
        self.rows += other.rows
        self.records += other.records
        self.dead_letters += other.dead_letters
        self.transactions += 1


@dataclass(slots=True)
class _Begun:
    """The transaction that is being written. `parts`: rows of tables without a replica, should one be asked for."""

    opening: int
    positions: dict[str, Position] = field(default_factory=dict)
    memory: dict[str, bytes | None] = field(default_factory=dict)
    parts: dict[str, list[TableChanges]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)


class Work:
    """From taking a source over to losing it.

    The order: the transactional id is taken, which ends what another worker has begun; the topic of positions and memory is
    read; the source is opened there. Then, for each of its transactions: a transaction begins; its events, dead letters,
    positions and memory are written; it is committed; the source is told.
    """

    def __init__(self, setup: Setup, ingested: Ingested, topic: str, counts: Counts) -> None:
        """`topic`: of the source's positions and memory. `counts` go on from what they are."""
        self._setup, self._ingested, self._topic, self._counts = setup, ingested, topic, counts
        self.reader: Reader | None = None
        self._stored = Stored()
        self._begun: _Begun | None = None
        self._tables = _Tables(setup, ingested)
        self._last = 0.0  # when something was committed

    def run(self, stop: threading.Event) -> None:
        """Until `stop`. TransientError for what another beginning may heal; SourceHalted for what a person must mend."""
        timeout, rows = self._setup.settings.timeout, self._setup.batch_rows
        with (
            closing(writer_of(self._setup.settings, self._setup.root)) as writer,
            closing(Sender(self._setup.client, self._topic, timeout)) as sender,
        ):
            self._stored = store.read(self._setup.client, self._topic, timeout)
            reader = Reader(self._ingested.source, lambda: self._stored.resume(), max_rows=rows, queue_rows=2 * rows)
            self.reader = reader
            reader.start()
            try:
                while not stop.is_set():
                    self._turn(reader, sender, writer)
            except SourceHalted as error:
                reader.refuse(str(error))
                raise
            finally:
                reader.stop()

    @property
    def is_idle(self) -> bool:
        """All that the source held when it was opened is committed."""
        reader = self.reader
        return reader is not None and reader.reached_end and self._begun is None and not reader.queued()

    def _turn(self, reader: Reader, sender: Sender, writer: Writer) -> None:
        """What waits: as much as one transaction may hold, and a transaction of the source whole."""
        if (batch := reader.get(_POLL)) is None:
            self._idle(sender)
            return
        taken = [batch]
        while sum(map(len, taken)) < _AT_ONCE and (more := reader.get(0)) is not None:
            taken.append(more)
        for one in taken:
            self._write(one, sender, writer)
        if self._begun is not None and taken[-1].complete:
            self._commit(self._begun, sender)
        for one in taken:
            reader.acknowledge(one.positions if self._begun is None else {})

    def _idle(self, sender: Sender) -> None:
        """Now and then a sign of life: who was taken over meanwhile hears of it so."""
        sender.idle()
        if self._begun is None and time.monotonic() - self._last > _SIGN_EVERY:
            self._last = time.monotonic()
            sender.put(self._topic, *store.sign_of_life())
            sender.commit()

    def _write(self, batch: SourceBatch, sender: Sender, writer: Writer) -> None:
        begun = self._begun
        if begun is None:
            begun = self._begun = _Begun(batch.opening)
        elif begun.opening != batch.opening:
            raise TransientError(f"{batch.source} was opened anew amid a transaction: all of it comes again")
        fresh = without_replayed(batch, {**self._stored.positions, **begun.positions})
        moment = int(fresh.time.timestamp() * 1000) if fresh.time else 0
        origin = Origin(f"topline-{self._ingested.kind}", fresh.source, moment, fresh.copying)
        for part in fresh.parts:
            found = self._tables.resolved(part, begun.parts)
            if found is not None and len(found.changes):
                records = writer.records(found.topic, found.schema, found.changes, origin)
                sender.send(found.topic, records)
                begun.counts.records += len(records.keys)
        for letter in fresh.dead_letters:
            topic = self._tables.topics[letter.table]
            sender.letter(dead_letters_of(topic), topic, f"topline-{letter.table.partition('.')[0]}", letter)
        begun.positions |= fresh.positions
        begun.memory |= fresh.memory
        begun.counts.rows += len(fresh)
        begun.counts.dead_letters += len(fresh.dead_letters)

    def _commit(self, begun: _Begun, sender: Sender) -> None:
        for key, value in self._stored.records(begun.positions, begun.memory):
            sender.put(self._topic, key, value)
        point("ingest:written")
        sender.commit()
        point("ingest:committed")
        self._stored.commit(begun.positions, begun.memory)
        self._counts.add(begun.counts)
        self._begun, self._last = None, time.monotonic()


def read_anew(setup: Setup, ingested: Ingested, table: str | None, topic: str) -> None:
    """Whoever brings the source begins again, and reads `table` (None: all) anew. ConfigError for one that it has not."""
    timeout = setup.settings.timeout
    with closing(Sender(setup.client, topic, timeout)) as sender:
        stored = store.read(setup.client, topic, timeout)
        for key, value in stored.records({}, ingested.source.resync(table, stored.resume())):
            sender.put(topic, key, value)
        sender.commit()


@dataclass(frozen=True, slots=True)
class _Resolved:
    """Changes that say all of themselves, in the columns of `schema`."""

    topic: str
    schema: TableSchema
    changes: TableChanges


class _Tables:
    """What is known of the source's tables, and replicas of those that need one."""

    def __init__(self, setup: Setup, ingested: Ingested) -> None:
        self._setup = setup
        self.topics = {schema.name: ingested.topics[table] for table, schema in ingested.tables.items()}
        self._schemas = {schema.name: schema for schema in ingested.tables.values()}
        self._replicas: dict[str, Replica] = {}

    def resolved(self, part: TableChanges | Sweep | SchemaChange, written: dict[str, list[TableChanges]]) -> _Resolved | None:
        """None where there is nothing to write. `written`: what the transaction has of each table; it goes on here."""
        if part.table not in self.topics:
            return None
        if isinstance(part, SchemaChange):
            self._schemas[part.table] = part.schema
            self._replicas.pop(part.table, None)
            return None
        schema = self._schemas[part.table]
        if isinstance(part, Sweep):
            changes = self._replica(schema, written, whole=False).sweep(part, schema)
        else:
            schema = _narrowed(schema, part.rows.column_names)
            changes = self._filled(part, schema, written)
        return _Resolved(self.topics[part.table], schema, changes)

    def _filled(self, part: TableChanges, schema: TableSchema, written: dict[str, list[TableChanges]]) -> TableChanges:
        filled = part
        if part.unchanged is not None:
            filled = self._replica(schema, written, whole=True).apply(part)
        elif part.table in self._replicas:
            filled = self._replicas[part.table].apply(part)
        written.setdefault(part.table, []).append(filled)
        return filled

    def _replica(self, schema: TableSchema, written: dict[str, list[TableChanges]], *, whole: bool) -> Replica:
        """What is committed, and what this transaction has written already."""
        known = self._replicas.get(schema.name)
        if known is not None and (known.whole or not whole):
            return known
        settings = self._setup.settings
        made = Replica(schema, whole=whole)
        with closing(format_of(settings, self._setup.root)) as format_:
            replica.read(self._setup.client, self.topics[schema.name], format_, made, settings.timeout)
        for part in written.get(schema.name, []):
            made.apply(part)
        self._replicas[schema.name] = made
        return made


def _narrowed(schema: TableSchema, names: Sequence[str]) -> TableSchema:
    """A source may give some of the declared columns only."""
    return replace(schema, columns=tuple(column for column in schema.columns if column.name in names))
