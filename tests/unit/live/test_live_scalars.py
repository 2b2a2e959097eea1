"""Expressions that need no query give what DuckDB gives."""

from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.live.codec import decode_column, encode
from topline.live.expressions import untrimmed
from topline.live.interner import Interner
from topline.live.question import Question, connect
from topline.live.scalars import Scalars
from topline.schema import Column, Type

COLUMNS = [Column("word", Type.TEXT), Column("n", Type.BIGINT), Column("total", Type.DECIMAL), Column("day", Type.DATE)]
AVERAGE = (
    'CAST((CASE WHEN "total" < 0 THEN -1 ELSE 1 END) * CAST(((2 * CAST(CAST(ABS("total") AS DECIMAL(22, 4)) * 10000 AS BIGINT) '
    '+ "n") // (NULLIF(2 * "n", 0))) AS DECIMAL(18, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(18, 4))'
)
NONEMPTY = "NULLIF(TRIM(CAST(\"word\" AS TEXT)), '')"
SINCE = "CAST('1970-01-02' AS DATE)"
EXPRESSIONS = [
    (AVERAGE, Type.DECIMAL),
    *((text, Type.TEXT) for text in (NONEMPTY, f"COALESCE({NONEMPTY}, '')")),
    *((f"{function}({NONEMPTY})", type_) for function, type_ in (("LENGTH", Type.BIGINT), ("UPPER", Type.TEXT))),
    *((text, Type.BOOLEAN) for text in (f"{NONEMPTY} IS NULL", f"NOT {NONEMPTY} IS NULL")),
    *((f'"total" {sign} -1', Type.BOOLEAN) for sign in ("=", "<>", "<", "<=", ">", ">=")),
    *((text, Type.BOOLEAN) for text in ('"n" > 3', '"n" BETWEEN 1 AND 5')),
    *((text, Type.BOOLEAN) for text in (f'"day" < {SINCE}', f'"day" BETWEEN {SINCE} AND {SINCE}')),
    ("CASE WHEN \"n\" > 3 AND NOT \"total\" BETWEEN -1 AND 1 THEN 'a' WHEN \"word\" = 'a' THEN 'b' END", Type.TEXT),
]  # fmt: skip

words = st.one_of(st.none(), st.text(" \t\u00a0\u3000\u0001\x7fa!é", max_size=5))
money = st.decimals(Decimal("-99999999999999.9999"), Decimal("99999999999999.9999"), places=4)
near = st.sampled_from([Decimal(-1), Decimal("-1.0001"), Decimal("0.0001"), Decimal("0.5"), Decimal(0)])
days = st.one_of(st.none(), st.integers(-2, 3).map(lambda number: date(1970, 1, 1) + timedelta(number)))
rows = st.lists(
    st.tuples(words, st.one_of(st.none(), st.integers(0, 5), st.integers(0, 2**40)), st.one_of(st.none(), money, near), days),
    min_size=1,
    max_size=8,
)


class Both:
    """The same expressions, and DuckDB alone."""

    def __init__(self) -> None:
        connection = connect()
        self.interner = Interner()
        self.scalars = Scalars(COLUMNS, self.interner, connection)
        for number, (text, type_) in enumerate(EXPRESSIONS):
            self.scalars.add(text, Column(f"c{number}", type_))
        self.scalars.prepare()
        self.question = Question(connection, [f"CAST({text} AS {type_})" for text, type_ in EXPRESSIONS], COLUMNS)


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


@settings(deadline=None)
@given(rows)
def test_what_needs_no_query_is_what_a_query_gives(both: Both, batch: list[tuple[object, ...]]) -> None:
    assert_equal(both, batch)


def test_what_only_looks_like_trimming_stays() -> None:
    text = f"""CASE WHEN "word" = '{NONEMPTY.replace("'", "''")}' THEN {NONEMPTY} END"""
    assert untrimmed(text, "word") == text.replace(f"THEN {NONEMPTY}", 'THEN "word"')
    assert untrimmed(NONEMPTY, "other") == NONEMPTY


def test_many_values_at_once_are_what_a_query_gives(both: Both) -> None:
    edges = ("", " ", "\t", "\u00a0", "\x7f", "é")
    texts = [f"{before}{number}{behind}" for number in range(20) for before in edges for behind in edges]
    assert_equal(both, [(text, 1, None, None) for text in [None, "", " ", *texts]])


def assert_equal(both: Both, batch: list[tuple[object, ...]]) -> None:
    arrays = [pa.array([row[place] for row in batch], column.type.arrow) for place, column in enumerate(COLUMNS)]
    table = pa.table(arrays, names=[column.name for column in COLUMNS])
    values = both.scalars.values(encode(table, COLUMNS, both.interner), len(batch))
    found = [decode_column(v, type_, both.interner).to_pylist() for v, (_, type_) in zip(values, EXPRESSIONS, strict=True)]
    assert found == [column.to_pylist() for column in both.question.ask(arrays, len(batch)).columns]
