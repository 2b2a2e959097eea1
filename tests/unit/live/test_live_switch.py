"""An expression over tests is asked once for each combination of their outcomes, and then looked up."""

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from topline.live.arrays import NULL
from topline.live.interner import Interner
from topline.live.question import Question, connect
from topline.live.switch import Switch
from topline.schema import Column, Type

OUTCOMES = (0, 1, NULL)
EVERY = list(itertools.product(OUTCOMES, repeat=3))
VALUE = "CASE WHEN f0 THEN 100 ELSE 200 END + CASE WHEN f1 THEN 10 WHEN NOT f1 THEN 20 ELSE 30 END + coalesce(f2::INT, 2)"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many combinations were asked for, each time."""
    counts: list[int] = []
    ask = Question.ask

    def watched(self: Question, columns: list[pa.Array], count: int) -> pa.Table:
        counts.append(count)
        return ask(self, columns, count)

    monkeypatch.setattr(Question, "ask", watched)
    return counts


def switch(text: str = VALUE, type_: Type = Type.BIGINT, tests: int = 3) -> Switch:
    return Switch(text, tests, Column("x", type_), Interner(), connect())


def columns(rows: Sequence[tuple[int, ...]]) -> list["np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    return [np.array(column, np.int64) for column in zip(*rows, strict=True)]


def expected(row: tuple[int, ...]) -> int:
    return (100 if row[0] == 1 else 200) + {1: 10, 0: 20}.get(row[1], 30) + (2 if row[2] == NULL else row[2])


def test_every_combination_of_true_false_and_null_has_its_value(asked: list[int]) -> None:
    assert switch().values(columns(EVERY)).tolist() == [expected(row) for row in EVERY]
    assert asked == [27]


def test_what_was_asked_once_is_not_asked_again(asked: list[int]) -> None:
    one = switch()
    some = [(1, 0, NULL), (1, 0, NULL), (0, 0, 0)]
    for _ in range(2):
        assert one.values(columns(some)).tolist() == [expected(row) for row in some]
    assert one.values(columns([*some, (1, 1, 1)])).tolist() == [expected(row) for row in [*some, (1, 1, 1)]]
    assert asked == [2, 1]


def test_a_value_may_be_null() -> None:
    assert switch("CASE WHEN f0 THEN 7 END", tests=1).values(columns([(1,), (0,), (NULL,)])).tolist() == [7, NULL, NULL]
