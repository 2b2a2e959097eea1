"""Expressions of one column: remembered by the text's code, so that a value that was seen before costs no query."""

from collections.abc import Mapping, Sequence

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.live.arrays import EMPTY, Ints, grown
from topline.live.codec import decode_column, encode_column
from topline.live.interner import Interner
from topline.live.question import Question
from topline.schema import Column, Type

_PAGE = 1024  # codes of a page; the page table keeps a column's scattered codes small
_BITS = 10
_SAMPLE = 2_000  # codes that show whether a column repeats itself


class Memory:
    """code -> results of some expressions. Slots are given in order of arrival; a code's slot stands in a page of codes."""

    def __init__(self, width: int) -> None:
        self._directory = np.zeros(1, np.int64)  # page 0 is the blank one
        self._slots: npt.NDArray[np.int32] = np.full(_PAGE, -1, np.int32)
        self._results: list[Ints] = [EMPTY] * width
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, codes: Ints) -> Ints:
        """The slot of each code (NULL is one too), -1 where it is not known."""
        numbers = np.maximum(codes, -1) + 1
        pages = numbers >> _BITS
        known = np.minimum(pages, len(self._directory) - 1)
        places = np.where(known == pages, self._directory[known], 0) * _PAGE + (numbers & (_PAGE - 1))
        slots: Ints = self._slots[places].astype(np.int64)
        return slots

    def reserve(self, codes: Ints) -> Ints:
        """Give slots to codes without one; returns the codes that got them, each once, in the slots' order."""
        numbers = np.maximum(codes, -1) + 1
        self._open(numbers >> _BITS)
        places = self._directory[numbers >> _BITS] * _PAGE + (numbers & (_PAGE - 1))
        self._slots[places] = np.arange(len(codes))
        first = np.flatnonzero(self._slots[places] == np.arange(len(codes)))  # of equal codes the last writer stays
        self._slots[places[first]] = self._count + np.arange(len(first))
        return codes[first]

    def fill(self, results: Sequence[Ints]) -> None:
        """The results for the codes that `reserve` gave last."""
        end = self._count + len(results[0])
        self._results = [grown(kept, self._count, end) for kept in self._results]
        for kept, new in zip(self._results, results, strict=True):
            kept[self._count : end] = new
        self._count = end

    def results(self, slots: Ints) -> list[Ints]:
        return [kept[slots] for kept in self._results]

    def _open(self, pages: Ints) -> None:
        top = int(pages.max()) + 1
        if top > len(self._directory):
            self._directory = np.append(
                self._directory, np.zeros(max(top, 2 * len(self._directory)) - len(self._directory), np.int64)
            )
        wanted = np.unique(pages)
        fresh = wanted[self._directory[wanted] == 0]
        self._directory[fresh] = len(self._slots) // _PAGE + np.arange(len(fresh))
        self._slots = np.append(self._slots, np.full(len(fresh) * _PAGE, -1, np.int32))


class _Source:
    """One input column and the expressions over it."""

    def __init__(self, place: int, column: Column) -> None:
        self.place = place
        self.column = column
        self.texts: list[str] = []
        self.results: list[Column] = []
        self.memory: Memory | None = None

    def add(self, text: str, result: Column) -> int:
        self.texts.append(text)
        self.results.append(result)
        self.memory = Memory(len(self.texts)) if self.column.type is Type.TEXT else None
        return len(self.texts) - 1

    def unknown(self, values: Ints) -> Ints:
        """The values that must be computed: those not remembered, or all of a column that hardly repeats itself."""
        if self.memory is None:
            return values
        missing = values[self.memory.find(values) < 0]
        if len(missing) > _SAMPLE:
            sample = missing[:: len(missing) // _SAMPLE]
            if 2 * len(np.unique(sample)) > len(sample):
                self.memory = None
                return values
        return self.memory.reserve(missing) if len(missing) else missing

    def results_of(self, values: Ints, computed: list[Ints] | None) -> list[Ints]:
        if self.memory is None:
            return computed or []
        if computed is not None:
            self.memory.fill(computed)
        return self.memory.results(self.memory.find(values))


class Lookup:
    """Expressions of one column each, of which a batch asks DuckDB at most once, all columns side by side."""

    def __init__(self, columns: Sequence[Column], interner: Interner, connection: duckdb.DuckDBPyConnection) -> None:
        self._columns = columns
        self._interner = interner
        self._connection = connection
        self._sources: dict[int, _Source] = {}
        self._questions: dict[tuple[int, ...], Question] = {}

    def add(self, text: str, place: int, result: Column) -> tuple[int, int]:
        """An expression over the column at `place`; where its values will stand in what `values` gives."""
        source = self._sources.setdefault(place, _Source(place, self._columns[place]))
        return place, source.add(text, result)

    def values(self, columns: Sequence[Ints]) -> Mapping[int, list[Ints]]:
        unknown = {place: source.unknown(columns[place]) for place, source in self._sources.items()}
        computed = self._computed({place: values for place, values in unknown.items() if len(values)})
        return {place: source.results_of(columns[place], computed.get(place)) for place, source in self._sources.items()}

    def _computed(self, unknown: Mapping[int, Ints]) -> dict[int, list[Ints]]:
        if not unknown:
            return {}
        longest = max(map(len, unknown.values()))
        asked = {
            place: decode_column(_stretched(values, longest), self._columns[place].type, self._interner)
            for place, values in unknown.items()
        }
        answer = iter(self._question(tuple(unknown)).ask(list(asked.values()), longest).columns)
        return {
            place: [self._encoded(next(answer), result, values, asked[place]) for result in self._sources[place].results]
            for place, values in unknown.items()
        }

    def _encoded(self, answer: pa.ChunkedArray, result: Column, values: Ints, asked: pa.Array) -> Ints:
        """The answer's codes; text that came back as it was (trimmed of nothing) has its code already."""
        answer, asked = answer[: len(values)], asked[: len(values)]
        if result.type is not Type.TEXT or asked.type != answer.type:
            return encode_column(answer, result, self._interner)
        same = np.asarray(pc.fill_null(pc.equal(answer, asked), False))
        codes = values.copy()
        others = np.flatnonzero(~same)
        if len(others):
            codes[others] = encode_column(answer.take(pa.array(others)), result, self._interner)
        return codes

    def _question(self, places: tuple[int, ...]) -> Question:
        if places not in self._questions:
            pairs = [
                pair for place in places for pair in zip(self._sources[place].texts, self._sources[place].results, strict=True)
            ]
            expressions = [f"CAST({text} AS {result.type})" for text, result in pairs]
            self._questions[places] = Question(self._connection, expressions, [self._columns[place] for place in places])
        return self._questions[places]


def _stretched(values: Ints, length: int) -> Ints:
    """`values` as long as the longest column: a value that is asked twice cannot fail where once it did not."""
    return np.concatenate([values, np.full(length - len(values), values[0])]) if len(values) < length else values
