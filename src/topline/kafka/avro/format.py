"""Change events in Avro, in Confluent's wire format: 0, four bytes of the id of the writer's schema, the record."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from topline.errors import FormatError
from topline.kafka.avro.columns import Decoded, decoded
from topline.kafka.avro.program import Path, Program, Schema, compiled
from topline.kafka.events import Column, Events, Rows, Wanted, faults_of

HEADER = 5
_OP, _AFTER, _TIME = ("op",), ("after",), ("source", "ts_ms")
_NO_SCHEMA = np.int64(-1)


@dataclass(frozen=True, slots=True)
class _Programs:
    """Programs of one reader's wish, by schema id; a text is why there is none. What a registry lacks, it may have later."""

    schema: Callable[[int], Schema | None]
    wanted: tuple[Path, ...]
    known: dict[int, Program | str]

    def of(self, number: int) -> Program | str:
        if number in self.known:
            return self.known[number]
        if number == _NO_SCHEMA:
            return "not in Confluent's wire format (0, four bytes of a schema's id)"
        if (schema := self.schema(number)) is None:
            return f"the registry has no schema {number}"
        try:
            self.known[number] = compiled(schema, self.wanted)
        except FormatError as error:
            self.known[number] = f"schema {number}: {error}"
        return self.known[number]


class AvroFormat:
    def __init__(self, schema: Callable[[int], Schema | None], close: Callable[[], None] = lambda: None) -> None:
        """`schema`: the schema of an id, None where there is none (that may change), or TransientError. `close`: ends that."""
        self._schema, self._close = schema, close
        self._of_values: dict[Wanted, _Programs] = {}
        self._of_keys: dict[Wanted, _Programs] = {}

    def close(self) -> None:
        self._close()

    def read(self, keys: Sequence[bytes | None], values: Sequence[bytes | None], wanted: Wanted) -> Events:
        events = Events()
        there = np.fromiter((value is not None for value in values), np.bool_, len(values))
        for number, places in _by_schema(values, np.flatnonzero(there)):
            program = self._values(wanted).of(number)
            if isinstance(program, str):
                events.faults.update(dict.fromkeys(map(int, places), program))
            else:
                self._read(program, keys, values, wanted, places, events)
        self._delete(keys, wanted, np.flatnonzero(~there), np.zeros(int((~there).sum()), np.int64), events)
        return events

    def _values(self, wanted: Wanted) -> _Programs:
        paths = (_OP, _AFTER, _TIME, *(("after", name) for name in wanted.columns))
        paths += tuple(("source", name) for name in wanted.source)
        return self._of_values.setdefault(wanted, _Programs(self._schema, paths, {}))

    def _keys(self, wanted: Wanted) -> _Programs:
        return self._of_keys.setdefault(wanted, _Programs(self._schema, tuple((name,) for name in wanted.key), {}))

    def _read(
        self,
        program: Program,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        wanted: Wanted,
        places: npt.NDArray[np.int64],
        events: Events,
    ) -> None:
        """Records of one schema: those that bring a row, then those that take one away, by their keys."""
        found = decoded(program, [values[place] or b"" for place in places], HEADER)
        missing = pa.nulls(len(places), pa.string())
        after = found.columns.get(_AFTER)
        present = np.zeros(len(places), np.bool_) if after is None else after.to_numpy(zero_copy_only=False)
        operations = found.columns.get(_OP, missing)
        reasons = {**faults_of(operations, present), **found.faults}
        events.faults.update({int(places[place]): reason for place, reason in reasons.items()})
        times = _numbers(found, _TIME, len(places))
        good = np.ones(len(places), np.bool_)
        good[list(reasons)] = False
        deleted = good & (operations.to_numpy(zero_copy_only=False) == "d")
        upserted = np.flatnonzero(good & ~deleted)
        if len(upserted):
            columns = {
                name: Column(found.columns["after", name].take(pa.array(upserted)), program.slots["after", name].meaning)
                for name in wanted.columns
                if ("after", name) in found.columns
            }
            source = {
                name: found.columns["source", name].take(pa.array(upserted))
                for name in wanted.source
                if ("source", name) in found.columns
            }
            rows = Rows(places[upserted], np.zeros(len(upserted), np.bool_), columns, times[upserted], source)
            events.rows.append(rows)
        self._delete(keys, wanted, places[deleted], times[deleted], events)

    def _delete(
        self,
        keys: Sequence[bytes | None],
        wanted: Wanted,
        places: npt.NDArray[np.int64],
        times: npt.NDArray[np.int64],
        events: Events,
    ) -> None:
        time_of = dict(zip(places.tolist(), times.tolist(), strict=True))
        for number, group in _by_schema(keys, places):
            program = self._keys(wanted).of(number)
            if not isinstance(program, str) and len(program.slots) < len(wanted.key):
                program = f"its key lacks {', '.join(name for name in wanted.key if (name,) not in program.slots)}"
            if isinstance(program, str):
                events.faults.update(dict.fromkeys(map(int, group), f"key: {program}"))
                continue
            found = decoded(program, [keys[place] or b"" for place in group], HEADER)
            events.faults.update({int(group[place]): f"key: {reason}" for place, reason in found.faults.items()})
            good = np.array([place for place in range(len(group)) if place not in found.faults], np.int64)
            columns = {
                name: Column(found.columns[name,].take(pa.array(good)), program.slots[name,].meaning) for name in wanted.key
            }
            at = group[good]
            ended = np.array([time_of[int(place)] for place in at], np.int64)
            if len(at):
                events.rows.append(Rows(at, np.ones(len(at), np.bool_), columns, ended))


def _numbers(found: Decoded, path: Path, count: int) -> npt.NDArray[np.int64]:
    values = found.columns.get(path)
    if values is None or values.type != pa.int64():
        return np.zeros(count, np.int64)
    return np.asarray(values.fill_null(0).to_numpy(zero_copy_only=False), np.int64)


def _by_schema(records: Sequence[bytes | None], places: npt.NDArray[np.int64]) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Those at `places` by the id of their schema, -1 where they have none."""
    heads = [(records[place] or b"")[:HEADER] for place in places.tolist()]
    numbers = {head: _schema_id(head) for head in set(heads)}
    if len(numbers) < 2:
        return [(number, places) for number in numbers.values()]
    ids = np.fromiter(map(numbers.__getitem__, heads), np.int64, len(heads))
    return [(int(number), places[ids == number]) for number in np.unique(ids)]


def _schema_id(head: bytes) -> int:
    """By the first bytes of a record."""
    return int.from_bytes(head[1:], "big") if len(head) == HEADER and not head[0] else int(_NO_SCHEMA)
