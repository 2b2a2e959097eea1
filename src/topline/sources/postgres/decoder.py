"""Messages of the stream to the parts of a batch: positions, tables, TRUNCATE, and what DDL changed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from topline.changes import DeadLetter, Ints, Part, Position, SchemaChange, Sweep
from topline.schema import TableSchema
from topline.sources.postgres import pgoutput
from topline.sources.postgres.binding import Binding, bind
from topline.sources.postgres.pgoutput import Messages, Relation, parse_relation, parse_truncate, require
from topline.sources.postgres.rows import Lookup, Placed, table_changes
from topline.sources.postgres.shapes import Shape, require_not_rewritten, shape_of
from topline.sources.postgres.tables import Target

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Decoded:
    """`position`: after the last message. `time`: when the last transaction was committed at the source."""

    parts: tuple[Part, ...]
    letters: tuple[DeadLetter, ...]
    position: Position
    time: datetime | None


class Decoder:
    """Keeps what the stream says once and refers to later: tables by oid, and the transaction that is open.

    A row's position is (its transaction's commit LSN, 2 x its number in the transaction); the new row of a key change has one
    more. After a commit the position is (end of the commit record, 0), which no later row is below.
    """

    def __init__(
        self, targets: Mapping[str, Target], bases: Mapping[int, int], zone: ZoneInfo, partition: str, lookup: Lookup
    ) -> None:
        self._targets = {(target.namespace, target.relation): target for target in targets.values()}
        self._bases, self._zone, self._partition, self._lookup = bases, zone, partition, lookup
        self.copied: Mapping[str, int] = {}  # table -> LSN of its copy: what was committed before is in there
        self.shapes: Mapping[str, Shape] = {}  # table -> its columns' types in that copy
        self.oids: Mapping[int, Target] = {}  # of the tables that were copied: they are ours under whatever name
        self._relations: dict[int, Relation] = {}
        self._bindings: dict[int, Binding | None] = {}
        self._announced: dict[str, TableSchema] = {}  # told once even if as declared: the engine may hold the table
        self._hi, self._count = 0, 0
        self.in_transaction = False

    def decode(self, raw: Sequence[bytes | memoryview]) -> Decoded:
        """UnreadableStreamError when the bytes are not what pgoutput writes."""
        messages = Messages(raw)
        hi, lo = self._positions(messages)
        parts: list[Part] = []
        letters: list[DeadLetter] = []
        for part in self._parts(messages, hi, lo):
            (letters if isinstance(part, DeadLetter) else parts).append(part)  # type: ignore[arg-type]
        position = Position(int(hi[-1]), int(lo[-1]) + 1)
        if not self.in_transaction:
            position = Position(int(messages.int64(np.array([len(messages) - 1]), pgoutput.BODY + 9)[0]), 0)
        return Decoded(tuple(parts), tuple(letters), position, self._time(messages))

    def _positions(self, messages: Messages) -> tuple[Ints, Ints]:
        """Each message's transaction's commit LSN, and twice its number in there; an open transaction is carried on."""
        begins, commits = messages.of_kind(pgoutput.BEGIN), messages.of_kind(pgoutput.COMMIT)
        places = np.arange(len(messages))
        which = np.searchsorted(begins, places, side="right")
        opened = np.concatenate([[self._hi], messages.int64(begins, pgoutput.BODY)])
        first = np.concatenate([[-self._count], begins])
        require((opened >= 0).all(), "a transaction's LSN is not below 2^63")  # it would pass for one that was copied
        hi, number = opened[which], places - first[which]
        require(self.in_transaction or (len(begins) and begins[0] == 0), "a change stands outside of a transaction")
        last_begin = int(begins[-1]) if len(begins) else -1
        last_commit = int(commits[-1]) if len(commits) else -1
        self.in_transaction = last_begin > last_commit if len(begins) or len(commits) else self.in_transaction
        require(self.in_transaction or last_commit == len(messages) - 1, "a batch does not end with its transaction")
        self._hi, self._count = int(hi[-1]), int(number[-1]) + 1
        return hi, 2 * number

    def _parts(self, messages: Messages, hi: Ints, lo: Ints) -> Iterator[Part | DeadLetter]:
        rows = messages.of_kind(pgoutput.INSERT, pgoutput.UPDATE, pgoutput.DELETE)
        relations = messages.relations(rows)
        done = 0
        for place in messages.of_kind(pgoutput.RELATION, pgoutput.TRUNCATE):
            raw, upto = messages.raw(int(place)), int(np.searchsorted(rows, place))
            relation = parse_relation(raw) if raw[0] == pgoutput.RELATION else None
            if relation and self._relations.get(relation.oid) == relation:
                continue
            yield from self._rows(messages, rows[done:upto], relations[done:upto], hi, lo)  # what stands before it
            yield from (
                self._described(relation, int(hi[place])) if relation else self._truncated(raw, int(hi[place]), int(lo[place]))
            )
            done = upto
        yield from self._rows(messages, rows[done:], relations[done:], hi, lo)

    def _described(self, relation: Relation, hi: int) -> Iterator[Part]:
        target = self.oids.get(relation.oid) or self._targets.get((relation.namespace, relation.name))
        if target and hi >= self.copied.get(target.name, 0):
            now = shape_of(target, zip(relation.columns, relation.types, relation.modifiers, strict=True), self._bases)
            require_not_rewritten(target, self.shapes.get(target.name, {}), now)
        binding = bind(target, relation, self._bases) if target else None
        self._relations[relation.oid], self._bindings[relation.oid] = relation, binding
        if binding and target and self._announced.get(target.name) != binding.schema:
            self._announced[target.name] = binding.schema
            yield SchemaChange(binding.schema.name, binding.schema)

    def _truncated(self, raw: bytes, hi: int, lo: int) -> Iterator[Part]:
        for oid in parse_truncate(raw):
            binding = self._binding(oid)
            if binding and hi >= self.copied.get(binding.target.name, 0):
                yield Sweep(binding.schema.name, self._partition or None, None, Position(hi, lo))

    def _rows(self, messages: Messages, rows: Ints, relations: Ints, hi: Ints, lo: Ints) -> Iterator[Part | DeadLetter]:
        for oid in np.unique(relations):
            binding = self._binding(int(oid))
            if binding is None:
                continue
            places = rows[relations == oid]
            places = places[hi[places] >= self.copied.get(binding.target.name, 0)]
            if len(places):
                placed = Placed(places, hi[places], lo[places])
                changes, letters = table_changes(messages, binding, placed, self._partition, self._zone, self._lookup)
                yield from letters
                if changes is not None:
                    yield changes

    def _binding(self, oid: int) -> Binding | None:
        require(oid in self._bindings, f"a change of the unknown table {oid}")
        return self._bindings[oid]

    def _time(self, messages: Messages) -> datetime | None:
        begins = messages.of_kind(pgoutput.BEGIN)[-1:]
        if not len(begins):
            return None
        try:
            return _EPOCH + timedelta(microseconds=int(messages.int64(begins, pgoutput.BODY + 8)[0]))
        except OverflowError:
            require(False, "a commit has no time")
        return None
