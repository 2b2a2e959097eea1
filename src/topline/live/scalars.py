"""The expressions of a Select over a delta, each computed the cheapest way that gives the same values."""

import operator
from collections.abc import Callable, Mapping, Sequence

import duckdb
import numpy as np

from topline.live.arrays import NULL, Columns, Flags, Ints
from topline.live.codec import decode_column, encode_column
from topline.live.expressions import Comparison, Trim, average, comparison, decision, identifiers, null_test, plain, trim
from topline.live.interner import Interner
from topline.live.lookup import Lookup
from topline.live.question import Question
from topline.live.switch import MOST_TESTS, Switch
from topline.live.trimming import Trimmed
from topline.schema import Column, Type

_SIGNS: dict[str, Callable[[Ints, int], Flags]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_TEST = Column("test", Type.BOOLEAN)
Looked = Mapping[int, Sequence[Ints]]
Compute = Callable[[Columns, int, Looked], Ints]


class Scalars:
    """Columns that pass unchanged, constants, comparisons, averages, expressions of one column (`Lookup`), of tests
    (`Switch`); the rest DuckDB computes row by row.
    """

    def __init__(self, columns: Sequence[Column], interner: Interner, connection: duckdb.DuckDBPyConnection) -> None:
        self._columns = columns
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._types = {column.name: column.type for column in columns}
        self._interner = interner
        self._connection = connection
        self._lookup = Lookup(columns, interner, connection)
        self._outputs: list[Compute | None] = []  # None: DuckDB, row by row
        self._rows: list[tuple[str, Column]] = []
        self._used: list[int] = []
        self._question: Question | None = None

    def add(self, text: str, result: Column) -> None:
        compute = self._compute(text.strip(), result)
        self._outputs.append(compute)
        if compute is None:
            self._rows.append((text, result))

    def prepare(self) -> None:
        """To be called when all are added."""
        if self._rows:
            self._used = sorted({self._places[name] for text, _ in self._rows for name in identifiers(text)})
            wanted = [f"CAST({text} AS {result.type})" for text, result in self._rows]
            self._question = Question(self._connection, wanted, [self._columns[place] for place in self._used])

    def values(self, columns: Columns, count: int) -> list[Ints]:
        """Each expression's values over the rows."""
        looked = self._lookup.values(columns)
        rows = iter(self._row_by_row(columns, count))
        return [next(rows) if compute is None else compute(columns, count, looked) for compute in self._outputs]

    def _row_by_row(self, columns: Columns, count: int) -> list[Ints]:
        if self._question is None:
            return []
        arrays = [decode_column(columns[place], self._columns[place].type, self._interner) for place in self._used]
        answer = self._question.ask(arrays, count)
        return [encode_column(answer.column(n), result, self._interner) for n, (_, result) in enumerate(self._rows)]

    def _compute(self, text: str, result: Column) -> Compute | None:
        name = plain(text)
        if name is not None and self._types[name] is result.type:
            return _passing(self._places[name])
        used = identifiers(text)
        if not used:
            return self._constant(text, result)
        if result.type is Type.BOOLEAN and (test := null_test(text)) is not None:
            return _null_test(self._places[test[0]], wanted=test[1])
        if result.type is Type.BOOLEAN and (compared := comparison(text, self._types)) is not None:
            return _comparison(self._places[compared.column], compared)
        if result.type is Type.DECIMAL and (averaged := average(text, self._types)) is not None:
            return _average(*(self._places[name] for name in averaged))
        if (trimmed := trim(text, self._types)) is not None:
            return self._trimmed(text, trimmed, result)
        if len(used) == 1:
            return _looked_up(*self._lookup.add(text, self._places[used.pop()], result))
        return self._switch(text, result)

    def _trimmed(self, text: str, found: Trim, result: Column) -> Compute:
        place = self._places[found.column]
        trimmed = Trimmed(text, place, result, self._columns, self._interner, self._connection, found.outcome)
        return lambda columns, _count, _looked: trimmed.values(columns)

    def _constant(self, text: str, result: Column) -> Compute | None:
        """None where DuckDB wants to see a row before it fails."""
        try:
            value = self._connection.sql(f"SELECT CAST({text} AS {result.type}) AS value").to_arrow_table()
        except duckdb.Error:
            return None
        number = int(encode_column(value.column(0), result, self._interner)[0])
        return lambda _columns, count, _looked: np.full(count, number)

    def _switch(self, text: str, result: Column) -> Compute | None:
        found = decision(text, self._types)
        if found is None or len(found[1]) > MOST_TESTS:
            return None
        tests = [compute for test in found[1] if (compute := self._compute(test, _TEST)) is not None]
        switch = Switch(found[0], len(tests), result, self._interner, self._connection)
        return lambda columns, count, looked: switch.values([test(columns, count, looked) for test in tests])


def _passing(place: int) -> Compute:
    return lambda columns, _count, _looked: columns[place]


def _null_test(place: int, *, wanted: bool) -> Compute:
    return lambda columns, _count, _looked: ((columns[place] == NULL) == wanted).astype(np.int64)


def _comparison(place: int, compared: Comparison) -> Compute:
    def compute(columns: Columns, count: int, _looked: Looked) -> Ints:
        passes = np.ones(count, np.bool_)
        for sign, constant in compared.tests:
            passes &= _SIGNS[sign](columns[place], constant)
        return np.where(columns[place] == NULL, NULL, passes)

    return compute


def _average(total: int, number: int) -> Compute:
    """In units, rounded half away from zero; a sum is less than 10^18 of them, so that twice as many fit."""

    def compute(columns: Columns, _count: int, _looked: Looked) -> Ints:
        units, counted = columns[total], columns[number]
        known = (units != NULL) & (counted != NULL) & (counted != 0)
        divisor = np.where(known, 2 * counted, 1)
        dividend = 2 * np.abs(np.where(known, units, 0)) + np.where(known, counted, 0)
        return np.where(known, np.sign(units) * (dividend // divisor), NULL)

    return compute


def _looked_up(place: int, number: int) -> Compute:
    return lambda _columns, _count, looked: looked[place][number]
