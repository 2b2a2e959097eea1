"""PostgreSQL's text of dates and times: any of its values comes back as it went."""

from datetime import date

import psycopg
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Postgres
from topline.pgtime import TYPE_OF_TIME, are_plain, read_times, write_times
from topline.schema import Type

DAY = 86_400_000_000
FIRST, LAST = -1_721_425 - 4713 * 365, 106_000_000  # days, around 4700 BC and 292,000 AD
days = st.one_of(st.integers(FIRST, LAST), st.integers(-719_700, -719_100), st.sampled_from([2**31 - 1, -(2**31) + 1]))
micros = st.one_of(
    st.integers(FIRST * DAY, LAST * DAY),
    st.integers(-719_163 * DAY, -719_162 * DAY),
    st.sampled_from([2**63 - 1, -(2**63) + 1]),
)


@given(st.lists(st.none() | days))
def test_dates_come_back(given: list[int | None]) -> None:
    values = pa.array(given, pa.int32()).view(pa.date32())
    assert read_times(write_times(values), Type.DATE).equals(values)


@pytest.mark.parametrize("kind", [Type.TIMESTAMP, Type.TIMESTAMPTZ])
@given(given=st.lists(st.none() | micros))
def test_times_come_back(kind: Type, given: list[int | None]) -> None:
    values = pa.array(given, pa.int64()).view(kind.arrow)
    texts = pa.array([text and text.replace("Z", "+00") for text in write_times(values).to_pylist()], pa.string())
    assert read_times(texts, kind).equals(values)


def test_plain_years_are_plain() -> None:
    assert are_plain(pa.array([date(1, 1, 1), None, date(9999, 12, 31)]))
    assert are_plain(pa.array([], pa.date32()))
    assert not are_plain(pa.array([-719_163], pa.int32()).view(pa.date32()))
    assert not are_plain(pa.array([-719_162 * DAY - 1], pa.int64()).view(pa.timestamp("us")))


def test_postgres_reads_them_as_it_wrote_them(postgres: Postgres) -> None:
    written = {
        Type.DATE: ["infinity", "-infinity", "0001-12-31 BC", "4713-01-01 BC", "0001-01-01", "9999-12-31", "123456-02-29"],
        Type.TIMESTAMP: ["infinity", "0001-12-31 23:59:59.000001 BC", "2026-02-03 04:05:06", "20000-01-01 00:00:00"],
        Type.TIMESTAMPTZ: ["-infinity", "0044-03-15 12:00:00+00 BC", "2026-02-03 04:05:06.5+00", "294246-01-01 00:00:00+00"],
    }
    assert set(written) == set(TYPE_OF_TIME.values())
    with psycopg.connect(postgres.dsn("times"), autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for kind, texts in written.items():
            again = write_times(read_times(pa.array(texts), kind)).to_pylist()
            query = f"SELECT array_agg(x::{kind}::text ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS t (x, n)"
            assert connection.execute(query.encode(), [again]).fetchone() == (texts,)
