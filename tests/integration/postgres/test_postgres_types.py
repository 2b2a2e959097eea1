"""Every type arrives with the same value by copy and by stream, and none is lost for being odd."""

import pytest

from tests.integration.postgres.conftest import Shop
from tests.integration.postgres.replica import catch_up
from topline.pgtime import days_from_civil
from topline.schema import Type

DAY = 86_400_000_000
NOON_UTC = 1767268800000000  # 2026-01-01 12:00
TIME_LIMIT, DATE_LIMIT = 2**63 - 1, 2**31 - 1
VALUES = [  # PostgreSQL's type, an expression, the declared type, what must arrive
    ("bigint", "-9223372036854775808", Type.BIGINT, -(2**63)),
    ("smallint", "-7", Type.BIGINT, -7),
    ("integer", "NULL", Type.BIGINT, None),
    ("positive", "5", Type.BIGINT, 5),
    ("numeric", "12345678901234567890.12345678901234567890", Type.TEXT, "12345678901234567890.12345678901234567890"),
    ("numeric", "'NaN'", Type.TEXT, "NaN"),
    ("numeric", "'-Infinity'", Type.TEXT, "-Infinity"),
    ("numeric(10,2)", "1.5", Type.TEXT, "1.50"),
    ("double precision", "0.1", Type.TEXT, "0.1"),
    ("double precision", "0.1::float8 + 0.2::float8", Type.TEXT, "0.30000000000000004"),
    ("real", "1e20", Type.TEXT, "1e+20"),
    ("money", "'12.34'", Type.TEXT, "$12.34"),
    ("boolean", "true", Type.BOOLEAN, True),
    ("boolean", "false", Type.TEXT, "f"),
    ("text", "E'a\\n\"b\",\\t\\\\.'", Type.TEXT, 'a\n"b",\t\\.'),
    ("text", "''", Type.TEXT, ""),
    ("text", "NULL", Type.TEXT, None),
    ("text", "E'\\\\N'", Type.TEXT, "\\N"),
    ("text", "'Zürich 東京 🙂'", Type.TEXT, "Zürich 東京 🙂"),
    ("char(5)", "'ab'", Type.TEXT, "ab   "),
    ("varchar(9)", "'NULL'", Type.TEXT, "NULL"),
    ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", Type.TEXT, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("json", "'{\"a\": [1, 2]}'", Type.TEXT, '{"a": [1, 2]}'),
    ("jsonb", '\'{"b":1,"a":null}\'', Type.TEXT, '{"a": null, "b": 1}'),
    ("text[]", "ARRAY['x', NULL, 'y,z']", Type.TEXT, '{x,NULL,"y,z"}'),
    ("mood", "'happy'", Type.TEXT, "happy"),
    ("bytea", "'\\x00ff10'", Type.TEXT, "\\x00ff10"),
    ("interval", "'1 day 2 hours'", Type.TEXT, "1 day 02:00:00"),
    ("inet", "'10.0.0.1/8'", Type.TEXT, "10.0.0.1/8"),
    ("int4range", "'[1,5)'", Type.TEXT, "[1,5)"),
    ("time", "'12:30'", Type.TEXT, "12:30:00"),
    ("point", "'(1,2)'", Type.TEXT, "(1,2)"),
    ("date", "'2026-01-01'", Type.DATE, 20454),
    ("date", "'infinity'", Type.DATE, DATE_LIMIT),
    ("date", "'-infinity'", Type.DATE, -DATE_LIMIT),
    ("date", "'0044-03-15 BC'", Type.DATE, -735160),
    ("date", "'12026-01-01'", Type.DATE, days_from_civil(12026, 1, 1)),
    ("date", "NULL", Type.DATE, None),
    ("timestamp", "'2026-01-01 12:00:00.123456'", Type.TIMESTAMP, NOON_UTC + 123456),
    ("timestamp", "'infinity'", Type.TIMESTAMP, TIME_LIMIT),
    ("timestamp", "'0044-03-15 06:00 BC'", Type.TIMESTAMP, -735160 * DAY + DAY // 4),
    ("timestamp", "'294276-12-31'", Type.TIMESTAMP, TIME_LIMIT),
    ("timestamp", "'2026-01-01 13:00'", Type.TIMESTAMPTZ, NOON_UTC),  # the source's zone is Europe/Rome
    ("timestamp", "'2026-10-25 02:30'", Type.TIMESTAMPTZ, 1792891800000000),  # occurs twice: the later, 01:30 UTC
    ("timestamp", "'2026-03-29 02:30'", Type.TIMESTAMPTZ, 1774747800000000),  # never occurs: by the offset before, 01:30 UTC
    ("timestamp", "'2040-07-01 14:00'", Type.TIMESTAMPTZ, 2224756800000000),  # summer time is a rule, not a list of years
    ("timestamp", "'9999-12-31 23:59:59.999999'", Type.TIMESTAMPTZ, days_from_civil(10000, 1, 1) * DAY - 3_600_000_001),
    ("timestamp", "'-infinity'", Type.TIMESTAMPTZ, -TIME_LIMIT),
    ("timestamptz", "'2026-01-01 14:00+02'", Type.TIMESTAMPTZ, NOON_UTC),
    ("timestamptz", "'2026-01-01 12:00:00.5+00'", Type.TIMESTAMPTZ, NOON_UTC + 500_000),
    ("timestamptz", "'infinity'", Type.TIMESTAMPTZ, TIME_LIMIT),
    ("timestamptz", "'12026-01-01 00:00:00.25+00'", Type.TIMESTAMPTZ, days_from_civil(12026, 1, 1) * DAY + 250_000),
    ("timestamptz", "'2026-01-01 12:00+00'", Type.TEXT, "2026-01-01 12:00:00+00"),
    ("happened", "'2026-01-01 12:00+00'", Type.TIMESTAMPTZ, NOON_UTC),
]


def test_every_type_comes_alike_by_copy_and_by_stream(shop: Shop) -> None:
    columns = ", ".join(f"c{number} {kind}" for number, (kind, *_) in enumerate(VALUES))
    values = ", ".join(str(expression) for _, expression, *_ in VALUES)
    shop.run(
        "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'",
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE DOMAIN positive AS integer CHECK (VALUE > 0); CREATE DOMAIN happened AS timestamptz NOT NULL",
        f"CREATE TABLE kinds (id text PRIMARY KEY, {columns})",
        f"INSERT INTO kinds VALUES ('copied', {values})",
    )
    declared = {"id": Type.TEXT} | {f"c{number}": declared for number, (_, _, declared, _) in enumerate(VALUES)}
    shop.declare("kinds", declared, ("id",))
    source, replica = shop.caught_up(zone="Europe/Rome")
    shop.run(f"INSERT INTO kinds VALUES ('streamed', {values})")
    shop.follow(source, replica)
    copied, streamed = replica.table("shop.kinds")
    assert list(copied[1:]) == [expected for *_, expected in VALUES]
    assert streamed[1:] == copied[1:]


@pytest.mark.parametrize(("year", "days"), [(1970, 0), (2000, 10957), (1, -719162), (0, -719528), (-43, -735233)])
def test_days_count_from_1970_in_the_gregorian_calendar(year: int, days: int) -> None:
    assert days_from_civil(year, 1, 1) == days


def test_wide_and_large_values_are_copied_in_parts(shop: Shop) -> None:
    shop.run(
        "CREATE TABLE wide (id int PRIMARY KEY, t text)",
        "INSERT INTO wide SELECT n, repeat(n::text, 3000000) FROM generate_series(1, 9) n",
    )
    shop.declare("wide", {"id": Type.BIGINT, "t": Type.TEXT}, ("id",))
    source, replica = shop.source(copy_rows=4), shop.replica()
    catch_up(source, replica)
    assert [len(batch) for batch in replica.batches if len(batch)] == [4, 4, 1]
    assert [len(row[1]) for row in replica.table("shop.wide")] == [3000000] * 9


def test_a_table_of_one_nullable_column_beside_no_key_text_keeps_nulls_and_empty_texts_apart(shop: Shop) -> None:
    shop.run("CREATE TABLE one (t text PRIMARY KEY)", "INSERT INTO one VALUES (''), (' '), ('x')")
    shop.declare("one", {"t": Type.TEXT}, ("t",))
    _, replica = shop.caught_up()
    assert replica.table("shop.one") == [("",), (" ",), ("x",)]
