"""Values of origins become the declared types exactly, or are refused with a reason that names them."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.schema import Column, TableSchema, Type
from topline.sources.values import cast, table_of

ROME = ZoneInfo("Europe/Rome")


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        ("  as it is ", Type.TEXT, "  as it is "),
        (Decimal("1.10"), Type.TEXT, "1.10"),
        (Decimal("1E+2"), Type.TEXT, "100"),
        (0.1, Type.TEXT, "0.1"),
        (True, Type.TEXT, "true"),
        ({"a": [1, Decimal("2.50")]}, Type.TEXT, '{"a": [1, "2.50"]}'),
        (date(2026, 11, 21), Type.TEXT, "2026-11-21"),
        (b"\x00\xff", Type.TEXT, "\\x00ff"),
        (" 12 ", Type.BIGINT, 12),
        ("12.0", Type.BIGINT, 12),
        (Decimal("7"), Type.BIGINT, 7),
        ("-0.5", Type.DECIMAL, Decimal("-0.5")),
        (12, Type.DECIMAL, Decimal(12)),
        (0.1, Type.DECIMAL, Decimal("0.1")),
        ("2026-11-21", Type.DATE, date(2026, 11, 21)),
        (datetime(2026, 11, 21), Type.DATE, date(2026, 11, 21)),
        ("2026-11-21T12:00:00", Type.TIMESTAMP, datetime(2026, 11, 21, 12)),
        ("2026-11-21T12:00:00", Type.TIMESTAMPTZ, datetime(2026, 11, 21, 11, tzinfo=UTC)),
        ("2026-11-21T12:00:00Z", Type.TIMESTAMPTZ, datetime(2026, 11, 21, 12, tzinfo=UTC)),
        (datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=5))), Type.TIMESTAMPTZ, datetime(2026, 6, 30, 19, tzinfo=UTC)),
        ("Yes", Type.BOOLEAN, True),
        (0, Type.BOOLEAN, False),
    ],
)
def test_a_value_that_fits(value: object, type_: Type, expected: object) -> None:
    assert cast(value, type_, ROME) == expected
    assert cast(None, type_, ROME) is None


@pytest.mark.parametrize(
    ("value", "type_", "reason"),
    [
        ("a\0b", Type.TEXT, "NUL"),
        ("\ud800", Type.TEXT, "surrogate"),
        ("1.5", Type.BIGINT, "no whole number"),
        (True, Type.BIGINT, "no whole number"),
        (2**63, Type.BIGINT, "64 bits"),
        (-(2**63), Type.BIGINT, "stands for NULL"),
        ("-9223372036854775808", Type.BIGINT, "stands for NULL"),
        ("1e400000000", Type.BIGINT, "64 bits"),
        ("NaN", Type.DECIMAL, "no number"),
        ("1.00001", Type.DECIMAL, "try_decimal"),
        ("100000000000000", Type.DECIMAL, "no number of DECIMAL"),
        ("9e999999", Type.DECIMAL, "no number of DECIMAL"),
        ("21/11/2026", Type.DATE, "no date"),
        (datetime(2026, 11, 21, 5), Type.DATE, "a time, not a date"),
        ("2026-11-21T12:00:00Z", Type.TIMESTAMP, "has a zone"),
        ("yesterday", Type.TIMESTAMPTZ, "no time"),
        ("2026-11-21+14:00", Type.TIMESTAMPTZ, "no time"),
        ("2026-11-21-05:00", Type.TIMESTAMPTZ, "no time"),
        ("2026-11-21_10:00", Type.TIMESTAMP, "no time"),
        ("0001-01-01T00:00:00+05:00", Type.TIMESTAMPTZ, "years 1 to 9999"),
        ("maybe", Type.BOOLEAN, "neither true nor false"),
    ],
)
def test_a_value_that_does_not_fit_is_named(value: object, type_: Type, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cast(value, type_, ROME)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**13), max_value=10**13))
def test_money_is_exact_whichever_way_it_comes(value: Decimal) -> None:
    assert cast(value, Type.DECIMAL, UTC) == cast(str(value), Type.DECIMAL, UTC) == value
    assert Decimal(str(cast(value, Type.TEXT, UTC))) == value


@given(
    st.one_of(
        st.text(), st.binary(), st.floats(), st.integers(), st.decimals(), st.booleans(), st.datetimes(), st.dates(), st.times()
    ),
    st.sampled_from(list(Type)),
)
def test_anything_is_either_cast_or_refused(value: object, type_: Type) -> None:
    schema = TableSchema("s.t", (Column("id", Type.TEXT), Column("v", type_)), ("id",))
    table, places, refused = table_of(schema, [{"id": "1", "v": value}, {"id": "2"}, {"v": value}], UTC)
    assert table.schema.equals(schema.arrow)
    assert sorted([*places.tolist(), *(place for place, _ in refused)]) == [0, 1, 2]
    assert table["id"].to_pylist()[-1] == "2"
    assert (2, "no key: id is missing") in refused or refused[-1][0] == 2


@pytest.mark.parametrize("type_", [Type.BIGINT, Type.DECIMAL])
def test_digits_with_underscores_are_no_number(type_: Type) -> None:
    with pytest.raises(ValueError, match="1_000"):
        cast("1_000", type_, UTC)
