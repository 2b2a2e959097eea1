"""Given a result, `why` finds the rows that it is made of, and no others, and where each came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.live.histories import as_table, item, order, upserts
from tests.unit.live.plans import ITEMS, ORDERS, SALESMEN, aggregate, join, pick, plan, scan, select, top, union
from topline.changes import DeadLetter, Position
from topline.errors import UsageError
from topline.live.why import Contribution, explain_key, locate, trace
from topline.log import LetterState, Log, LogEntry
from topline.models.plan import Measure, Order, ProjectPlan
from topline.schema import TableSchema, Type

ROWS: dict[TableSchema, list[tuple[object, ...]]] = {
    ORDERS: [
        order(1, "10", "A"),
        order(2, "20", "A"),
        order(3, "30", "B"),
        order(4, "-5", "A"),
        (5, None, None, None, None, None, None),
    ],
    SALESMEN: [("Ana", "s1", "north"), ("Rui", "s2", "south")],
    ITEMS: [item(1, 5), (1, 2, "ink", 1), item(3, 7), (9, 1, "A", 1)],
}


def models() -> ProjectPlan:
    orders = scan(ORDERS)
    good = select(
        orders,
        [("order_id", Type.BIGINT, '"order_id"'), ("town", Type.TEXT, 'lower("city")'),
         ("salesman_id", Type.TEXT, '"salesman_id"'), ("amount", Type.DECIMAL, '"amount"')],
        '"amount" > 0',
    )  # fmt: skip
    towns = aggregate(good, ["town"], Measure("total", "sum", "amount"))
    sold = join("left", good, scan(SALESMEN), ("salesman_id", "salesman_id"))
    best = top(good, [], [Order("amount", True)], 1)
    words = union(
        select(orders, [("word", Type.TEXT, '"city"')], '"city" IS NOT NULL'),
        select(scan(ITEMS), [("word", Type.TEXT, '"category"')], '"category" IS NOT NULL'),
    )
    pairs = join("inner", pick(orders, "order_id", "city"), pick(orders, "order_id", "parent"), ("order_id", "parent"))
    return plan(
        {"towns": towns, "sold": sold, "best": best, "words": aggregate(words, ["word"]), "pairs": pairs,
         "all": pick(orders, "order_id", "city")},
        {"towns": ("town",), "sold": ("order_id",), "best": ("order_id",), "words": ("word",), "all": ("order_id",),
         "pairs": ("order_id",)},
    )  # fmt: skip


@pytest.fixture
def shop() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for schema, rows in ROWS.items():
            connection.register(schema.name, as_table(schema, rows))
        yield connection


def traced(shop: duckdb.DuckDBPyConnection, model: str, **key: str | None) -> tuple[int, dict[str, list[Any]]]:
    """How many results there are with this key, and of each table behind it the first two columns of its rows."""
    found, parts = trace(shop, models(), model, key)
    return len(found), {part.table: sorted(zip(*[c.to_pylist() for c in part.rows.columns[:2]], strict=True)) for part in parts}


def numbers(parts: dict[str, list[Any]], table: str = "shop.orders") -> list[int]:
    return [row[0] for row in parts[table]]


def test_a_sum_is_made_of_the_rows_of_its_group_that_pass_the_filter(shop: duckdb.DuckDBPyConnection) -> None:
    count, parts = traced(shop, "towns", town="a")
    assert (count, numbers(parts), list(parts)) == (1, [1, 2], ["shop.orders"])


def test_a_joined_row_is_made_of_both_sides(shop: duckdb.DuckDBPyConnection) -> None:
    _, parts = traced(shop, "sold", order_id="3")
    assert (numbers(parts), parts["shop.salesmen"]) == ([3], [("Ana", "s1")])


def test_a_rank_is_made_of_its_own_row(shop: duckdb.DuckDBPyConnection) -> None:
    assert numbers(traced(shop, "best", order_id="3")[1]) == [3]


def test_a_union_is_made_of_the_rows_of_each_branch(shop: duckdb.DuckDBPyConnection) -> None:
    _, parts = traced(shop, "words", word="A")
    assert (numbers(parts), numbers(parts, "shop.items")) == ([1, 2, 4], [9])
    _, parts = traced(shop, "words", word="pens")
    assert (numbers(parts), numbers(parts, "shop.items")) == ([], [1, 3])


def test_a_row_that_is_reached_on_two_ways_is_told_once(shop: duckdb.DuckDBPyConnection) -> None:
    shop.execute('CREATE TABLE o AS SELECT * REPLACE (1 AS parent) FROM "shop.orders" WHERE order_id IN (1, 2)')
    shop.unregister("shop.orders")
    shop.execute('CREATE VIEW "shop.orders" AS SELECT * FROM o')
    _, parts = trace(shop, models(), "pairs", {"order_id": "1"})
    assert [sorted(part.rows["order_id"].to_pylist()) for part in parts] == [[1, 2]]


def test_null_in_a_key_is_looked_for_as_such(shop: duckdb.DuckDBPyConnection) -> None:
    """A key that is never NULL in the results has no such row."""
    assert traced(shop, "words", word=None)[0] == 0


def test_a_result_that_is_not_there_has_no_rows(shop: duckdb.DuckDBPyConnection) -> None:
    count, parts = traced(shop, "towns", town="nowhere")
    assert (count, parts) == (0, {"shop.orders": []})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"city": "A"}, r"the key of all is \(order_id\); found \(city\)"),
        ({"order_id": "x"}, "order_id: 'x' is not a BIGINT$"),
    ],
)
def test_a_key_that_cannot_be_is_refused(key: dict[str, str | None], message: str, shop: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UsageError, match=message):
        trace(shop, models(), "all", key)


def test_a_day_that_is_none_is_refused_with_an_example(shop: duckdb.DuckDBPyConnection) -> None:
    days = plan({"days": aggregate(scan(ORDERS), ["day"])}, {"days": ("day",)})
    with pytest.raises(UsageError, match="day: 'monday' is not a DATE, such as 2026-11-21"):
        trace(shop, days, "days", {"day": "monday"})
    _, parts = trace(shop, days, "days", {"day": "2026-01-01"})
    assert sorted(parts[0].rows["order_id"].to_pylist()) == [1, 2, 3, 4]


# the key on the command line


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["7", "2"], {"order_id": "7", "line": "2"}),
        (["line=2", "order_id=7"], {"order_id": "7", "line": "2"}),
        (["7", r"\N"], {"order_id": "7", "line": None}),
        (["order_id=a=b", r"line=\N"], {"order_id": "a=b", "line": None}),
        (["other=7", "2"], {"order_id": "other=7", "line": "2"}),
        (["line=2"], {"line": "2"}),
    ],
)
def test_a_key_is_given_in_order_or_by_name(words: list[str], key: dict[str, str | None]) -> None:
    assert explain_key(ITEMS, words) == key


@pytest.mark.parametrize("words", [["7"], ["7", "2", "3"], ["line=2", "7", "8"]])
def test_a_key_of_other_length_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match=rf"the key of shop.items is \(order_id, line\): 2 values; found {len(words)}"):
        explain_key(ITEMS, words)


# where a row came from


@dataclass
class Kept:
    log: Log
    plan: ProjectPlan

    def located(self, kind: str, *ids: int) -> list[tuple[int, str]]:
        rows = as_table(ORDERS, [order(number, "0") for number in ids])
        return [(row["order_id"], row["where"]) for row in locate(self.log, self.plan, Contribution("shop.orders", rows), kind)]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """Order 2 came before order 1, in one epoch, and order 3 from a dead letter, later; order 4 still is one."""
    with Log.open(tmp_path / "state", "test") as log:
        log.declare({"shop.orders": ORDERS})
        first = upserts("shop.orders", order(2, "20"), order(1, "10"), partition="inbox:a.csv", hi=(22 << 32) + 0xAB)
        letters = [
            ("shop", DeadLetter("shop.orders", "inbox:a.csv", Position(90, lo), b"?", "unreadable", f"line {lo}"))
            for lo in (0, 1)
        ]
        log.append(LogEntry(changes=[first], dead_letters=letters, time=datetime(2026, 1, 1, tzinfo=UTC)))
        again = upserts("shop.orders", order(3, "30"), partition="inbox:a.csv", hi=90)
        log.append(LogEntry(changes=[again], letters={1: LetterState.REPLAYED}))
        log.append(LogEntry(changes=[upserts("shop.orders", order(0, "1"), partition="inbox:b.csv", hi=90)]))
        yield Kept(log, models())


HI = (22 << 32) + 0xAB


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("files", f"a.csv:0 (reading {HI})", f"a.csv:1 (reading {HI})"),
        ("postgres", "LSN 16/AB", "LSN 16/AB"),
        ("soap", f"record 0 of poll {HI}", f"record 1 of poll {HI}"),
        ("rest", f"record 0 of poll {HI}", f"record 1 of poll {HI}"),
        ("sql", f"record 0 of poll {HI}", f"record 1 of poll {HI}"),
        ("push", f"inbox:a.csv at ({HI}, 0)", f"inbox:a.csv at ({HI}, 1)"),
    ],
)
def test_a_row_says_where_it_came_from_in_the_words_of_its_source(kept: Kept, kind: str, first: str, second: str) -> None:
    assert kept.located(kind, 1, 2) == [(2, first), (1, second)]


def test_rows_are_told_in_the_order_in_which_they_came_and_letters_by_their_number(kept: Kept) -> None:
    found = kept.located("files", 0, 3, 2, 1)
    assert [number for number, _ in found] == [2, 1, 3, 0]
    assert [where for _, where in found[2:]] == ["dead letter 1", "b.csv:0 (reading 90)"]


def test_a_row_says_when_the_log_took_it(kept: Kept) -> None:
    rows = as_table(ORDERS, [order(1, "0")])
    (row,) = locate(kept.log, kept.plan, Contribution("shop.orders", rows), "files")
    assert (row["taken"], row["city"], set(row)) == (
        datetime(2026, 1, 1, tzinfo=UTC),
        "Porto",
        {*ORDERS.names, "where", "taken"},
    )


def test_of_no_rows_nothing_is_told(kept: Kept) -> None:
    assert kept.located("files") == []
