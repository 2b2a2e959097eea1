"""A small reference of what the log and the live engine do with batches: plain dictionaries, no cleverness.

It also refuses, with an AssertionError, what no source may hand over.
"""

from collections.abc import Iterator, Mapping

from tests.conformance.origin import TABLE
from topline.changes import DELETE, DeadLetter, Part, Position, SourceBatch, Sweep, TableChanges
from topline.sources.base import Resume

Rows = dict[str, str | None]


class Ledger:
    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self.memory: dict[str, bytes] = {}
        self.letters: list[DeadLetter] = []
        self.seen: list[Rows] = []  # what was visible after each commit
        self._rows: dict[str, tuple[str | None, str, Position]] = {}
        self._open: list[SourceBatch] = []

    @property
    def rows(self) -> Rows:
        return {key: value for key, (value, _, _) in self._rows.items()}

    @property
    def resume(self) -> Resume:
        return Resume(dict(self.positions), dict(self.memory))

    def restart(self) -> None:
        """A new process: parts of a transaction that never became complete are gone."""
        self._open = []

    def corrupt_one(self, key: str) -> None:
        """Put a wrong value into a row, and beside it a row that was never there, as if its partition had written them."""
        _, owner, position = self._rows[key]
        self._rows[key] = ("wrong", owner, position)
        self._rows["never there"] = ("wrong", owner, position)

    def remember(self, memory: Mapping[str, bytes | None]) -> None:
        for name, value in memory.items():
            if value is None:
                self.memory.pop(name, None)
            else:
                self.memory[name] = value

    def commit(self, batch: SourceBatch) -> None:
        _assert_well_formed(batch)
        self._open.append(batch)
        if not batch.complete:
            return
        stands = dict(self.positions)
        for one in self._open:
            for part in one.parts:
                self._apply(part, stands)
            self.letters += [
                letter for letter in one.dead_letters if letter.position > stands.get(letter.partition, Position(0, -1))
            ]
        self._remember(self._open)
        self._open = []
        self.seen.append(self.rows)

    def _remember(self, batches: list[SourceBatch]) -> None:
        for batch in batches:
            for name, position in batch.positions.items():
                self.positions[name] = max(position, self.positions.get(name, position))
            self.remember(batch.memory)

    def _apply(self, part: Part, stands: dict[str, Position]) -> None:
        if isinstance(part, Sweep):
            self._sweep(part, stands)
        elif isinstance(part, TableChanges):
            for position, op, row, kept in _changes(part):
                if position > stands.get(part.partition, Position(0, -1)):
                    self._change(part.partition, position, op, row, kept)

    def _change(self, partition: str, position: Position, op: int, row: Rows, kept: int) -> None:
        key = str(row["id"])
        if op == DELETE:
            self._rows.pop(key, None)
        else:
            old = self._rows[key][0] if kept & 2 else row["value"]
            self._rows[key] = (old, partition, position)

    def _sweep(self, sweep: Sweep, stands: dict[str, Position]) -> None:
        if sweep.partition is None:
            self._rows.clear()
        elif sweep.at > stands.get(sweep.partition, Position(0, -1)):
            below = sweep.below if sweep.below is not None else sweep.at.hi
            gone = [key for key, (_, owner, at) in self._rows.items() if owner == sweep.partition and at.hi < below]
            for key in gone:
                del self._rows[key]


def _changes(part: TableChanges) -> Iterator[tuple[Position, int, Rows, int]]:
    kept = part.unchanged if part.unchanged is not None else [0] * len(part)
    places = zip(part.hi.tolist(), part.lo.tolist(), strict=True)
    for (hi, lo), op, row, mask in zip(places, part.ops.tolist(), part.rows.to_pylist(), kept, strict=True):
        yield Position(hi, lo), op, row, int(mask)


def _assert_well_formed(batch: SourceBatch) -> None:
    """The shape that docs/sources/standard.md demands of every batch."""
    assert batch.source == "origin", f"the batch says it is of source {batch.source!r}"
    for part in batch.parts:
        if isinstance(part, TableChanges):
            assert part.table == TABLE.name, f"a table of the name {part.table!r}"
            assert part.rows.schema.equals(TABLE.arrow), f"rows of another schema than declared: {part.rows.schema}"
            assert len(part.rows) == len(part.ops) == len(part.hi) == len(part.lo), "columns of different lengths"
            assert part.rows["id"].null_count == 0, "a row without its key"
            places = [position for position, *_ in _changes(part)]
            assert places == sorted(places), f"positions within {part.partition} decrease: {places}"
            last = batch.positions.get(part.partition)
            assert last is None or not batch.complete or not places or places[-1] <= last, (
                f"{part.partition} is said to stand at {last}, before its change at {places[-1]}"
            )
