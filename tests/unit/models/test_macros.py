"""The shared macros: the same value in DuckDB and PostgreSQL for any input, and the right one."""

import functools
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal, localcontext

import duckdb
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Postgres
from tests.unit.models.relations import SALES
from topline.models.dialects import Dialect
from topline.models.jinja import Renderer
from topline.models.project import ModelFile, read_project

PROJECT = read_project(SALES)
Values = list[str | None]


class Both:
    """Evaluates a macro over a column `x` in both databases; their sessions are in other zones."""

    def __init__(self, dsn: str) -> None:
        self.duckdb = duckdb.connect()
        self.duckdb.execute("SET TimeZone = 'America/New_York'")
        self.postgres = psycopg.connect(dsn, autocommit=True)
        self.postgres.execute("SET timezone = 'Asia/Tokyo'")
        self.postgres.execute("CREATE TEMP TABLE t (i INT, x TEXT)")

    def values(self, macro: str, given: Sequence[str | None], *, zone: str = "Europe/Rome", result: str = "{}") -> Values:
        """One value a row, as text."""
        return self._run(macro, given, zone, f"SELECT CAST({result} AS TEXT) FROM t ORDER BY i")

    def aggregate(self, macro: str, given: Sequence[str | None], query: str) -> str | None:
        """The one value of `query`, in which {} stands for the macro, as text."""
        return self._run(macro, given, "UTC", f"SELECT CAST(v AS TEXT) FROM ({query}) AS one")[0]

    def _run(self, macro: str, given: Sequence[str | None], zone: str, query: str) -> Values:
        """What both databases find; it is asserted to be the same."""
        self.duckdb.register("t", pa.table({"i": range(len(given)), "x": pa.array(given, type=pa.string())}))
        found = [row[0] for row in self.duckdb.execute(query.format(_rendered(macro, "duckdb", zone))).fetchall()]
        self.postgres.execute("TRUNCATE t")
        with self.postgres.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
            for row in enumerate(given):
                copy.write_row(row)
        other = [row[0] for row in self.postgres.execute(query.format(_rendered(macro, "postgres", zone)).encode()).fetchall()]
        assert found == other, [triple for triple in zip(given, found, other, strict=False) if triple[1] != triple[2]]
        return found

    def close(self) -> None:
        self.duckdb.close()
        self.postgres.close()


@functools.cache
def _rendered(macro: str, dialect: Dialect, zone: str) -> str:
    model = ModelFile("m", "m.sql", "{{ " + macro + " }}")
    return f"({Renderer(PROJECT, dialect, {'time_zone': zone, 'currency': 'EUR'}).render(model).sql})"


@pytest.fixture(scope="module")
def both(postgres: Postgres) -> Iterator[Both]:
    databases = Both(postgres.dsn("macros"))
    yield databases
    databases.close()


many = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
no_nul = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])
numbers = st.one_of(
    st.floats().map(repr),
    st.decimals(allow_nan=True).map(str),
    st.from_regex(r"[+-]?[0-9]{0,20}[.]?[0-9]{0,20}", fullmatch=True),
    st.from_regex(r" ?[+-]?[0-9]{1,14}[.][0-9]{4}(5|50|49|49999999999999999999|50000000001)", fullmatch=True),
    st.text("0123456789+-.eE _,", max_size=10),
    st.text(no_nul, max_size=5),
)
times = st.one_of(
    st.datetimes().map(str),
    st.datetimes().map(lambda t: t.isoformat() + "+05:30"),
    st.from_regex(r"(18|19|20|29|30)[0-9][0-9]-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,10})?)?"
                  r"(Z|[+-][01][0-9](:?[0-5]0)?)?)?", fullmatch=True),
    st.text("0123456789-:TZ+ ", max_size=20),
)  # fmt: skip


@many
@given(given=st.lists(st.one_of(st.none(), numbers), min_size=30, max_size=60))
def test_try_decimal_is_exact(both: Both, given: Values) -> None:
    for text, found in zip(given, both.values("try_decimal('x')", given), strict=True):
        assert found is None or Decimal(found) == _rounded(text or "")


def _rounded(text: str) -> Decimal:
    with localcontext() as context:
        context.prec = 2000
        return Decimal(text.strip()).quantize(Decimal("0.0001"), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.34565", "12.3457"),
        ("-12.34565", "-12.3457"),
        ("12.34564999999999999999", "12.3456"),
        ("1e3", "1000.0000"),
        (" 12.50 ", "12.5000"),
        ("+.5", "0.5000"),
        ("5.", "5.0000"),
        ("1.5E-05", "0.0000"),
        ("5e-05", "0.0001"),
        ("99999999999999.99994", "99999999999999.9999"),
        ("99999999999999.99995", None),
        ("1e14", None),
        ("1e999", None),
        ("NaN", None),
        ("Infinity", None),
        ("1,5", None),
        ("1_000", None),
        ("", None),
        (None, None),
    ],
)
def test_try_decimal(both: Both, text: str | None, expected: str | None) -> None:
    assert both.values("try_decimal('x')", [text]) == [expected]


@pytest.mark.parametrize(
    ("number", "expected"),
    [("3", "30000000000000.0000"), ("-9", "-90000000000000.0000"), ("10", None), ("9223372036854775807", None), (None, None)],
)
def test_try_times_is_null_for_what_does_not_fit(both: Both, number: str | None, expected: str | None) -> None:
    assert both.values("try_times('cast(10000000000000 as decimal(18,4))', 'cast(x as bigint)')", [number]) == [expected]


@pytest.mark.parametrize(
    ("price", "discount", "expected"),
    [
        ("17954.55", "0.04", "17236.3680"),
        ("0.01", "0.005", "0.0100"),
        ("-0.01", "0.995", "-0.0001"),
        ("99999999999999.9999", "0", "99999999999999.9999"),
        ("99999999999999.9999", "-0.0001", None),
        ("50000000000000", "-0.9999", "99995000000000.0000"),
        ("49999999999999.99998", "-1", None),
    ],
)
def test_try_times_takes_a_rate(both: Both, price: str, discount: str, expected: str | None) -> None:
    macro = "try_times(try_decimal('split_part(x, chr(32), 1)'), '1 - ' ~ try_decimal('split_part(x, chr(32), 2)'))"
    assert both.values(macro, [f"{price} {discount}"]) == [expected]


@pytest.mark.parametrize("number", ["10", "cast(10 as smallint)", "1.5", "cast(x as decimal(18,4))"])
def test_try_times_of_the_greatest_amount_is_null_for_numbers_of_every_type(both: Both, number: str) -> None:
    assert both.values(f"try_times('cast(x as decimal(18,4))', '{number}')", ["99999999999999.9999", "0.5"])[0] is None


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("1.084512", "10845120.0000"),
        ("0.000039312345", "393.1235"),
        ("0.00000000000049", "0.0000"),
        ("0.0000000000005", "0.0000"),
        ("999999.999999999999", "10000000000000.0000"),
        ("-999999.9999999999994", "-10000000000000.0000"),
        ("999999.9999999999995", None),
        ("1e6", None),
        ("5e-6", "50.0000"),
        ("1,08", None),
        ("NaN", None),
        (None, None),
    ],
)
def test_a_rate_keeps_twelve_decimals(both: Both, rate: str | None, expected: str | None) -> None:
    assert both.values("try_times('cast(10000000 as decimal(18,4))', try_rate('x'))", [rate]) == [expected]


def test_try_decimal_takes_numbers_too(both: Both) -> None:
    assert both.values("try_decimal('cast(x as bigint)')", ["7"]) == ["7.0000"]
    assert both.values("try_decimal('cast(x as double precision)')", ["0.1", "1e-7"]) == ["0.1000", "0.0000"]
    assert both.values("try_decimal('cast(x as decimal(20,6))')", ["0.000050"]) == ["0.0001"]


@many
@given(given=st.lists(st.one_of(st.none(), times), min_size=30, max_size=60), zone=st.sampled_from(
    ["UTC", "Europe/Rome", "America/Sao_Paulo", "Asia/Kolkata", "Africa/Cairo", "Pacific/Apia"]))  # fmt: skip
def test_times_are_the_same_everywhere(both: Both, given: Values, zone: str) -> None:
    both.values("try_date('x')", given)
    both.values(f"to_instant('x', '{zone}')", given, result="({} AT TIME ZONE 'UTC')", zone=zone)
    both.values(f"sale_date('x', '{zone}')", given, zone=zone)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29", "2024-02-29"),
        ("2023-02-29", None),
        ("2024-04-31", None),
        ("2100-02-29", None),
        ("2024-03-01T23:30:00Z", "2024-03-02"),
        ("2024-03-01T23:30:00", "2024-03-01"),
        ("2024-03-01 22:59:59.999+00:00", "2024-03-01"),
        ("2024-03-01T20:00:00-05", "2024-03-02"),
        ("2024-03-01T23:30:00.1234567890Z", None),
        ("2024-03-01T23:30:00.123456789Z", "2024-03-02"),
        ("01.03.2024", None),
        ("today", None),
        ("", None),
        (None, None),
    ],
)
def test_sale_date(both: Both, text: str | None, expected: str | None) -> None:
    assert both.values("sale_date('x', 'Europe/Rome')", [text]) == [expected]


def test_to_instant_takes_typed_columns(both: Both) -> None:
    text = ["2024-03-01 10:00:00+02"]

    found = both.values("to_instant('cast(x as timestamptz)', 'Asia/Tokyo')", text, result="({} AT TIME ZONE 'UTC')")

    assert found == ["2024-03-01 08:00:00"]


@many
@given(given=st.lists(st.one_of(st.none(), st.text(no_nul, max_size=6)), min_size=30, max_size=60))
def test_nonempty(both: Both, given: Values) -> None:
    both.values("nonempty('x')", given)


def test_nonempty_takes_every_space_away(both: Both) -> None:
    assert both.values("nonempty('x')", ["  a b\u2003", "\u00a0", "", None]) == ["a b", None, None, None]


@many
@given(given=st.lists(st.one_of(st.none(), st.integers(-(10**17), 10**17), st.integers(-99, 99)), min_size=1, max_size=9))
def test_exact_avg_rounds_half_away_from_zero(both: Both, given: list[int | None]) -> None:
    units = [number for number in given if number is not None]
    text = [None if number is None else str(Decimal(number).scaleb(-4)) for number in given]

    grouped = "SELECT {} AS v FROM (SELECT CAST(x AS DECIMAL(18,4)) AS x FROM t) AS q"
    found = both.aggregate("exact_avg('x')", text, grouped)

    with localcontext() as context:
        context.prec = 60
        expected = (Decimal(sum(units)) / len(units)).quantize(Decimal(1), ROUND_HALF_UP).scaleb(-4) if units else None
    assert (None if found is None else Decimal(found)) == expected


@many
@given(given=st.lists(st.one_of(st.none(), st.text(no_nul, max_size=4)), min_size=1, max_size=9))
def test_greatest_and_least_text_are_by_bytes(both: Both, given: Values) -> None:
    texts = [text.encode() for text in given if text is not None]

    greatest = both.aggregate("max_text('x')", given, "SELECT {} AS v FROM t")
    least = both.aggregate("min_text('x')", given, "SELECT {} AS v FROM t")

    assert (greatest, least) == ((max(texts).decode(), min(texts).decode()) if texts else (None, None))
