"""Expressions of one column: remembered by its value, so that one that was seen before costs no query."""

from collections.abc import Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.live.arrays import Columns, Ints, group_rows, matrix
from topline.live.codec import decode_column, encode_column
from topline.live.expressions import untrimmed
from topline.live.interner import Interner
from topline.live.kernels import text as kernels
from topline.live.question import Question
from topline.live.rowstore import RowStore, narrow
from topline.schema import Column, Type

_SAMPLE = 2_000  # values that show whether a column repeats itself
_FEW = 256  # values
_REMEMBERED = 1_000_000  # values of a column; then it is begun anew


class _Source:
    """One input column and the expressions over it."""

    def __init__(self, place: int, column: Column) -> None:
        self.place = place
        self.column = column
        self.texts: list[str] = []
        self.results: list[Column] = []
        self.memory: RowStore | None = None  # a value, and what each expression makes of it

    def add(self, text: str, result: Column) -> int:
        self.texts.append(text)
        self.results.append(result)
        self.memory = self._blank()
        return len(self.texts) - 1

    @property
    def trims(self) -> bool:
        """Whether anything is cheaper to compute of text that has nothing to trim."""
        return self.column.type is Type.TEXT and self.expressions(bare=True) != self.expressions(bare=False)

    def expressions(self, *, bare: bool) -> list[tuple[str, Column]]:
        """Each with the column that it gives; `bare`: for text that has nothing to trim and is not empty."""
        texts = [untrimmed(text, self.column.name) for text in self.texts] if bare else self.texts
        return list(zip(texts, self.results, strict=True))

    def _blank(self) -> RowStore:
        return RowStore(narrow([self.column.type, *(result.type for result in self.results)]), 1)

    def unknown(self, values: Ints) -> Ints:
        """The values that must be computed: those not remembered, or all of a column that hardly repeats itself."""
        if self.memory is None:
            return values
        if len(self.memory) > _REMEMBERED:
            self.memory = self._blank()
        missing = values[self.memory.find(values[None]) < 0]
        if not len(missing):
            return missing
        distinct = missing[group_rows(missing[None]).first]
        if len(missing) > _SAMPLE and 2 * len(distinct) > len(missing):
            self.memory = None
            return values
        return distinct

    def results_of(self, values: Ints, asked: Ints, computed: list[Ints] | None) -> Sequence[Ints]:
        """Of all values, given those of the ones that were asked."""
        if self.memory is None:
            return computed or []
        if computed is not None:
            self.memory.add(matrix([asked, *computed], len(asked)))
        return list(self.memory.take(self.memory.find(values[None]), 1))


class Lookup:
    """Expressions of one column each, of which a batch asks DuckDB at most once, all columns side by side."""

    def __init__(self, columns: Sequence[Column], interner: Interner, connection: duckdb.DuckDBPyConnection) -> None:
        self._columns = columns
        self._interner = interner
        self._connection = connection
        self._sources: dict[int, _Source] = {}
        self._questions: dict[tuple[tuple[int, ...], bool], Question] = {}

    def add(self, text: str, place: int, result: Column) -> tuple[int, int]:
        """An expression over the column at `place`; where its values will stand in what `values` gives."""
        source = self._sources.setdefault(place, _Source(place, self._columns[place]))
        return place, source.add(text, result)

    def values(self, columns: Columns) -> Mapping[int, Sequence[Ints]]:
        unknown = {place: source.unknown(columns[place]) for place, source in self._sources.items()}
        computed = self._computed({place: values for place, values in unknown.items() if len(values)}, columns)
        return {
            place: source.results_of(columns[place], unknown[place], computed.get(place))
            for place, source in self._sources.items()
        }

    def _computed(self, unknown: Mapping[int, Ints], columns: Columns) -> dict[int, list[Ints]]:
        """Few values are always asked in the same question: to plan another takes longer than to compute too much. Of many,
        each column is asked alone, so that none is computed more often than it has values."""
        if max(map(len, unknown.values()), default=0) > _FEW:
            return {place: self._many(place, values) for place, values in unknown.items()}
        answers = self._asked({place: unknown.get(place, columns[place][:1]) for place in self._sources}) if unknown else {}
        return {place: answers[place] for place in unknown}

    def _many(self, place: int, values: Ints) -> list[Ints]:
        """Of a column alone. To trim takes DuckDB a good part of the time, and most text has nothing to trim."""
        source = self._sources[place]
        if not source.trims:
            return self._asked({place: values})[place]
        results = [np.empty(len(values), np.int64) for _ in source.results]
        bare = kernels.visible(values, *self._interner.texts)
        for chosen, is_bare in ((np.flatnonzero(bare), True), (np.flatnonzero(~bare), False)):
            if len(chosen):
                for result, answer in zip(results, self._asked({place: values[chosen]}, bare=is_bare)[place], strict=True):
                    result[chosen] = answer
        return results

    def _asked(self, values: Mapping[int, Ints], *, bare: bool = False) -> dict[int, list[Ints]]:
        """In one question. `bare`: none of the values has anything to trim, or is empty."""
        longest = max(map(len, values.values()))
        asked = {
            place: decode_column(_stretched(those, longest), self._columns[place].type, self._interner)
            for place, those in values.items()
        }
        answers = iter(self._question(tuple(values), bare=bare).ask(list(asked.values()), longest).columns)
        return {
            place: [self._encoded(next(answers), result, those, asked[place]) for result in self._sources[place].results]
            for place, those in values.items()
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

    def _question(self, places: tuple[int, ...], *, bare: bool) -> Question:
        if (places, bare) not in self._questions:
            pairs = [pair for place in places for pair in self._sources[place].expressions(bare=bare)]
            expressions = [f"CAST({text} AS {result.type})" for text, result in pairs]
            self._questions[places, bare] = Question(self._connection, expressions, [self._columns[place] for place in places])
        return self._questions[places, bare]


def _stretched(values: Ints, length: int) -> Ints:
    """`values` as long as the longest column: a value that is asked twice cannot fail where once it did not."""
    return np.concatenate([values, np.full(length - len(values), values[0])]) if len(values) < length else values
