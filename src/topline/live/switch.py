"""An expression that only tests columns: each combination of the tests' outcomes is computed once, then looked up."""

from collections.abc import Sequence

import duckdb
import numpy as np

from topline.live.arrays import NULL, Ints
from topline.live.codec import decode_column, encode_column
from topline.live.interner import Interner
from topline.live.question import Question
from topline.schema import Column, Type

MOST_TESTS = 11  # 3^11 combinations fit into a small table


class Switch:
    """A test is false (0), true (1) or NULL; a combination is the number of these as digits to the base 3."""

    def __init__(
        self, text: str, tests: int, result: Column, interner: Interner, connection: duckdb.DuckDBPyConnection
    ) -> None:
        """`text`: over the columns f0, f1, ... one a test."""
        self._columns = [Column(f"f{number}", Type.BOOLEAN) for number in range(tests)]
        self._result = result
        self._interner = interner
        self._question = Question(connection, [f"CAST({text} AS {result.type})"], self._columns)
        self._known = np.zeros(3**tests, np.bool_)
        self._results = np.zeros(3**tests, np.int64)

    def values(self, tests: Sequence[Ints]) -> Ints:
        combined = np.zeros(len(tests[0]), np.int64)
        for outcome in tests:
            combined *= 3
            combined += np.maximum(outcome, -1) + 1
        missing = combined[~self._known[combined]]
        if len(missing):
            self._learn(np.unique(missing))
        return self._results[combined]

    def _learn(self, combined: Ints) -> None:
        digits, left = [], combined
        for _ in self._columns:
            digits.append(left % 3 - 1)
            left = left // 3
        outcomes = [np.where(digit < 0, NULL, digit) for digit in reversed(digits)]
        arrays = [decode_column(outcome, Type.BOOLEAN, self._interner) for outcome in outcomes]
        answer = self._question.ask(arrays, len(combined))
        self._results[combined] = encode_column(answer.column(0), self._result, self._interner)
        self._known[combined] = True
