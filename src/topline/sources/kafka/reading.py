"""One table's topic between its source's opening and closing: records in, changes out, and where it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.changes import DeadLetter, Ints, Part, Position, SchemaChange, Sweep, TableChanges
from topline.kafka.client import Message
from topline.kafka.events import Format, Wanted
from topline.schema import TableSchema
from topline.sources.kafka.rows import Bound, bound
from topline.sources.kafka.standing import Standing
from topline.sources.kafka.topics import Topic

_NOWHERE = Topic("", "", {}, {}, 0.0)


@dataclass(slots=True)
class Read:
    """What some records came to. `newest`: when the last of them was committed at its source, in milliseconds since 1970."""

    parts: list[Part] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    newest: int = 0


class Reading:
    """`next`: partition -> the offset to go on from; `unread`: partition -> its end at the opening, until that is reached.

    A record's position is (generation, 2 x its offset), so that what is retracted after it has one, too.
    """

    def __init__(self, table: str, schema: TableSchema, standing: Standing, zone: tzinfo) -> None:
        self.topic = _NOWHERE
        self.standing = standing
        self.next: dict[int, int] = {}
        self.unread: dict[int, int] = {}
        self._table, self._schema, self._zone = table, schema, zone
        self._wanted = Wanted(schema.names, schema.key)
        self._announced = schema
        self._written = b""

    def begin(self, topic: Topic, offsets: Mapping[int, int]) -> None:
        """`offsets`: partition -> where it is read on; 0 from its start."""
        self.topic, self.next = topic, dict(offsets)
        self.unread = {number: end for number, end in topic.end.items() if max(offsets[number], topic.first[number]) < end}

    def take(self, format_: Format, messages: Sequence[Message]) -> Read:
        """The records, which may be none, in the order in which they came; then, at the end of a reading from the start, what
        it did not see is retracted."""
        read = Read()
        if messages:
            self._take(format_, messages, read)
        if not self.unread and not self.standing.ended:
            read.parts += self._sweeps(read)
            self.standing = replace(self.standing, ended=True)
        return read

    def remember(self, now: float, told: float) -> dict[str, bytes | None]:
        """What to write of where it stands, where that is new; at its end also from time to time."""
        if not self.unread and now - self.standing.seen > told:
            self.standing = replace(self.standing, seen=now)
        if (stored := self.standing.dump()) == self._written:
            return {}
        self._written = stored
        return {self._table: stored}

    def reread(
        self, format_: Format, record: tuple[bytes | None, bytes | None], letter: DeadLetter
    ) -> TableChanges | DeadLetter:
        """A record (key, value) that was kept, read again."""
        events = format_.read([record[0]], [record[1]], self._wanted)
        found = [bound(rows, self._schema, self._zone) for rows in events.rows]
        reasons = {**events.faults, **{place: reason for one in found for place, reason in one.refused.items()}}
        if reasons or not found:
            return replace(letter, reason=reasons.get(0, "it says nothing"))
        if found[0].schema != self._schema:
            return replace(letter, reason="it lacks columns that the table has")
        hi, lo = (np.array([number], np.int64) for number in letter.position)
        return TableChanges(letter.table, letter.partition, found[0].table, found[0].ops, hi, lo, found[0].unchanged)

    def _take(self, format_: Format, messages: Sequence[Message], read: Read) -> None:
        keys, values = [message.key() for message in messages], [message.value() for message in messages]
        numbers = np.array([message.partition() for message in messages])
        offsets = np.array([message.offset() for message in messages])
        events = format_.read(keys, values, self._wanted)
        found = [bound(rows, self._schema, self._zone) for rows in events.rows]
        reasons = {**events.faults, **{place: reason for one in found for place, reason in one.refused.items()}}
        for place, reason in sorted(reasons.items()):
            read.letters.append(self._letter(messages[place], reason))
        for schema, changes in self._by_schema(found, len(messages)):
            if schema != self._announced:
                read.parts.append(SchemaChange(self._schema.name, schema))
                self._announced = schema
            read.parts += self._split(changes, schema, numbers, offsets)
        self._note(numbers, offsets, read)
        self.standing = replace(
            self.standing, rows=self.standing.rows or bool(found), clean=self.standing.clean and not reasons
        )
        read.newest = max((int(rows.times.max()) for rows in events.rows if len(rows.times)), default=0)

    def _by_schema(self, found: Sequence[Bound], count: int) -> list[tuple[TableSchema, list[Bound]]]:
        """Stretches of records whose rows have the same columns, in order. Deletions fit any."""
        schemas = list(dict.fromkeys(one.schema for one in found if not one.deletes))
        if len(schemas) <= 1:
            return [(schemas[0] if schemas else self._announced, list(found))] if found else []
        which = np.full(count, -1)
        for one in found:
            if not one.deletes:
                which[one.places] = schemas.index(one.schema)
        last = np.maximum.accumulate(np.where(which >= 0, np.arange(count), 0))
        filled = np.where(which[last] >= 0, which[last], which[np.flatnonzero(which >= 0)[0]])
        starts = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist(), count]
        return [
            (schemas[filled[start]], [cut for one in found if len(cut := one.between(start, end))])
            for start, end in pairwise(starts)
        ]

    def _split(
        self, changes: Sequence[Bound], schema: TableSchema, numbers: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
    ) -> list[TableChanges]:
        """The rows of each partition, in order."""
        places = np.concatenate([one.places for one in changes]) if changes else np.zeros(0, np.int64)
        if not len(places):
            return []
        order = np.lexsort((places, numbers[places]))
        rows = pa.concat_tables([one.table.select(list(schema.names)) for one in changes]).combine_chunks()
        rows, places = rows.take(pa.array(order)), places[order]
        ops = np.concatenate([one.ops for one in changes])[order]
        unchanged = _unchanged(changes)
        parts = []
        for number in np.unique(numbers[places]).tolist():
            begin, end = np.searchsorted(numbers[places], [number, number + 1])
            lo = 2 * offsets[places[begin:end]]
            left_out = None if unchanged is None else unchanged[order][begin:end]
            parts.append(
                TableChanges(
                    self._schema.name,
                    self._partition(number),
                    rows.slice(begin, end - begin),
                    ops[begin:end],
                    np.full(len(lo), self.standing.generation, np.int64),
                    lo,
                    left_out,
                )
            )
        return parts

    def _note(self, numbers: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64], read: Read) -> None:
        for number in np.unique(numbers).tolist():
            last = int(offsets[numbers == number].max())
            self.next[number] = last + 1
            read.positions[self._partition(number)] = Position(self.standing.generation, 2 * last)
            if last + 1 >= self.unread.get(number, last + 2):
                del self.unread[number]

    def _sweeps(self, read: Read) -> list[Sweep]:
        """Of partitions, also of those that the topic had once."""
        if not self.standing.sweeps:
            return []
        sweeps = []
        for number in range(self.standing.most):
            at = Position(self.standing.generation, 2 * self.next.get(number, 0) - 1)
            sweeps.append(Sweep(self._schema.name, self._partition(number), self.standing.generation, at))
            read.positions[self._partition(number)] = at
        return sweeps

    def _letter(self, message: Message, reason: str) -> DeadLetter:
        is_key = reason.startswith("key: ")
        raw = message.key() if is_key else message.value()
        at = Position(self.standing.generation, 2 * int(message.offset() or 0))
        place = self._partition(int(message.partition() or 0))
        return DeadLetter(self._schema.name, place, at, raw or b"", reason, "key" if is_key else "")

    def _partition(self, number: int) -> str:
        return f"{self._table}/{number}"


def following(position: Position) -> int:
    """The offset to go on from."""
    return position.lo // 2 + 1


def _unchanged(changes: Sequence[Bound]) -> Ints | None:
    if all(one.unchanged is None for one in changes):
        return None
    return np.concatenate([np.zeros(len(one.ops), np.int64) if one.unchanged is None else one.unchanged for one in changes])
