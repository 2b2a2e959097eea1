"""Trimming of text that has nothing to trim: most text, which needs no query then."""

from collections.abc import Sequence

import duckdb
import numpy as np

from topline.live.arrays import Columns, Ints, take
from topline.live.interner import Interner
from topline.live.kernels import text as kernels
from topline.live.lookup import Lookup
from topline.schema import Column


class Trimmed:
    """A column trimmed, '' being NULL or not, or a test whether that is NULL.

    A string that begins and ends with a visible ASCII character stays as it is, whatever else counts as a space. All others
    DuckDB trims.
    """

    def __init__(self, text: str, place: int, result: Column, columns: Sequence[Column], interner: Interner,
                 connection: duckdb.DuckDBPyConnection, outcome: int | None) -> None:  # fmt: skip
        """text: over the column at `place`; outcome: of the test where nothing is to trim, None where this is no test."""
        self._place = place
        self._interner = interner
        self._outcome = outcome
        self._lookup = Lookup([columns[place]], interner, connection)
        self._lookup.add(text, 0, result)

    def values(self, columns: Columns) -> Ints:
        codes = columns[self._place]
        others = np.flatnonzero(~kernels.visible(codes, *self._interner.texts))
        values = codes.copy() if self._outcome is None else np.full(len(codes), self._outcome)
        if len(others):
            values[others] = self._lookup.values(take(codes[None], others))[0][0]
        return values
