"""How fast the live engine's dataflow folds, alone: nothing is logged or published. `python bench/dataflow.py [MILLIONS]`

Events are 5 % late, 8 % updates, 2 % deletes, over 3,000 salesmen and 2,000 cities of 60 days. Two plans: one flat table with
the two rankings (top sales per city with its maximum, top salesmen), and the same over a join of four tables.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import DELETE, UPSERT, TableChanges
from topline.live.codec import decode_column
from topline.live.dataflow import Dataflow
from topline.live.interner import Interner
from topline.models.plan import Aggregate, Join, Measure, ModelPlan, Node, Order, ProjectPlan, Scan, Select, TopN
from topline.schema import Column, TableSchema, Type

SALESMEN, CITIES, DAYS, CUSTOMERS = 3_000, 2_000, 60, 200_000
FIRST_DAY = (date(2026, 1, 1) - date(1970, 1, 1)).days
Ints = npt.NDArray[np.int64]


class Sales(NamedTuple):
    """Events in order: which sale, what happens to it, and its fields."""

    sale: Ints
    ops: npt.NDArray[np.int8]
    day: Ints
    salesman: Ints
    city: Ints
    units: Ints


def sales(first: int, count: int, known: int, seed: int) -> Sales:
    """`count` events after `known` sales, the next new one being number `first`."""
    random = np.random.default_rng(seed)
    kind = random.random(count)
    fresh = (kind >= 0.10) | (known == 0)
    sale = np.where(fresh, first + np.cumsum(fresh) - 1, random.integers(0, max(known, 1), count))
    late = random.random(count) < 0.05
    today = FIRST_DAY + np.minimum((sale * DAYS) // max(known + count, 1), DAYS - 1)
    day = np.where(late, FIRST_DAY + random.integers(0, DAYS, count), today)
    ops = np.where(~fresh & (kind < 0.02), DELETE, UPSERT).astype(np.int8)
    salesman, city = random.integers(0, SALESMEN, count), (random.random(count) ** 2 * CITIES).astype(np.int64)
    return Sales(sale, ops, day, salesman, city, random.integers(1_0000, 5000_0000, count) // 100 * 100)


def text(prefix: str, numbers: Ints, width: int = 6) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0"), "")


def money(units: Ints) -> pa.Array:
    return decode_column(units, Type.DECIMAL, Interner())


def changes(schema: TableSchema, arrays: list[pa.Array], ops: npt.NDArray[np.int8]) -> TableChanges:
    count = len(ops)
    rows = pa.Table.from_arrays(
        [a.cast(c.type.arrow) for a, c in zip(arrays, schema.columns, strict=True)], schema=schema.arrow
    )
    return TableChanges(schema.name, "bench", rows, ops, np.arange(count), np.zeros(count, np.int64))


FLAT = TableSchema(
    "branches.sales",
    (
        Column("sale_id", Type.TEXT),
        Column("day", Type.DATE),
        Column("salesman_id", Type.TEXT),
        Column("salesman_name", Type.TEXT),
        Column("country", Type.TEXT),
        Column("region", Type.TEXT),
        Column("city", Type.TEXT),
        Column("amount", Type.DECIMAL),
    ),
    ("sale_id",),
)
ORDERS = TableSchema(
    "shop.orders",
    (
        Column("order_id", Type.BIGINT),
        Column("customer_id", Type.BIGINT),
        Column("salesman_id", Type.TEXT),
        Column("day", Type.DATE),
    ),
    ("order_id",),
)
ITEMS = TableSchema(
    "shop.items",
    (Column("order_id", Type.BIGINT), Column("line", Type.BIGINT), Column("amount", Type.DECIMAL)),
    ("order_id", "line"),
)
CUSTOMERS_TABLE = TableSchema(
    "shop.customers",
    (
        Column("customer_id", Type.BIGINT),
        Column("country", Type.TEXT),
        Column("region", Type.TEXT),
        Column("city", Type.TEXT),
    ),
    ("customer_id",),
)
SALESMEN_TABLE = TableSchema(
    "shop.salesmen", (Column("salesman_id", Type.TEXT), Column("salesman_name", Type.TEXT)), ("salesman_id",)
)


def flat_parts(events: Sales) -> list[TableChanges]:
    count = len(events.sale)
    arrays = [
        text("S-", events.sale, 9),
        pa.array(events.day.astype(np.int32)).cast(pa.date32()),
        text("M", events.salesman),
        text("Name ", events.salesman),
        text("C", events.city % 30, 2),
        text("R", events.city % 200, 3),
        text("City ", events.city),
        money(events.units),
    ]
    assert count == len(arrays[0])
    return [changes(FLAT, arrays, events.ops)]


def joined_parts(events: Sales) -> list[TableChanges]:
    """An order and its two items an event."""
    day = pa.array(events.day.astype(np.int32)).cast(pa.date32())
    orders = [pa.array(events.sale), pa.array(events.sale * 7919 % CUSTOMERS), text("M", events.salesman), day]
    twice = np.repeat(np.arange(len(events.sale)), 2)
    lines = np.tile(np.array([1, 2]), len(events.sale))
    items = [pa.array(events.sale[twice]), pa.array(lines), money(events.units[twice] // 2)]
    return [changes(ORDERS, orders, events.ops), changes(ITEMS, items, events.ops[twice])]


def dimension_parts() -> list[TableChanges]:
    number, man = np.arange(CUSTOMERS), np.arange(SALESMEN)
    customers = [pa.array(number), text("C", number % 30, 2), text("R", number % 200, 3), text("City ", number % CITIES)]
    upserts = np.zeros(CUSTOMERS, np.int8)
    return [
        changes(CUSTOMERS_TABLE, customers, upserts),
        changes(SALESMEN_TABLE, [text("M", man), text("Name ", man)], upserts[:SALESMEN]),
    ]


def scan(schema: TableSchema) -> Scan:
    return Scan(columns=schema.columns, key=schema.key, table=schema.name)


def rankings(sale: Node) -> dict[str, Node]:
    """The two rankings over (sale_id, day, salesman_id, salesman_name, country, region, city, amount)."""
    place = ("day", "country", "region", "city")
    total, deals = Measure("total", "sum", "amount"), Measure("n", "count")
    cities = _grouped(sale, place, total, deals, Measure("largest", "max", "amount"))
    men = _grouped(
        sale,
        ("day", "salesman_id"),
        Measure("salesman_name", "max", "salesman_name"),
        total,
        deals,
        Measure("cities", "count_distinct", "city"),
    )
    first = TopN(
        columns=(*men.columns, Column("rank", Type.BIGINT)),
        input=men,
        partition_by=("day",),
        order_by=(Order("total", True), Order("salesman_id")),
        limit=100,
    )
    return {"top_sales_by_city": cities, "top_salesmen": first}


def _grouped(source: Node, group_by: tuple[str, ...], *measures: Measure) -> Aggregate:
    types = {column.name: column.type for column in source.columns}
    made = [Column(m.name, Type.BIGINT if "count" in m.function else types[m.argument or ""]) for m in measures]
    columns = (*(Column(name, types[name]) for name in group_by), *made)
    return Aggregate(columns=columns, input=source, group_by=group_by, measures=measures)


def flat_plan() -> ProjectPlan:
    return _plan({FLAT.name: FLAT}, rankings(_checked(scan(FLAT))))


def _checked(source: Node) -> Select:
    """A staging's rules, over columns that pass unchanged."""
    columns = tuple(Column(c.name.removeprefix("r_"), c.type) for c in FLAT.columns)
    expressions = tuple(f'"{column.name}"' for column in columns)
    return Select(columns=columns, input=source, expressions=expressions, where='"amount" > 0 AND "city" IS NOT NULL')


def joined_plan() -> ProjectPlan:
    orders, items, customers, men = scan(ORDERS), scan(ITEMS), scan(CUSTOMERS_TABLE), scan(SALESMEN_TABLE)
    amounts = _grouped(items, ("order_id",), Measure("amount", "sum", "amount"))
    joined = _left(_left(_left(orders, amounts, "order_id"), customers, "customer_id"), men, "salesman_id")
    named = {column.name: column for column in joined.columns}
    columns = (Column("sale_id", Type.TEXT), *FLAT.columns[1:])
    plain = tuple(f'"{column.name}"' for column in columns[1:])
    assert all(column.name in named for column in columns[1:])
    sale = Select(
        columns=columns,
        input=joined,
        expressions=('CAST("order_id" AS TEXT)', *plain),
        where='"amount" > 0 AND "city" IS NOT NULL AND "salesman_name" IS NOT NULL',
    )
    tables = {schema.name: schema for schema in (ORDERS, ITEMS, CUSTOMERS_TABLE, SALESMEN_TABLE)}
    return _plan(tables, rankings(sale))


def _left(left: Node, right: Node, key: str) -> Join:
    renamed = [Column(f"r_{column.name}" if column.name == key else column.name, column.type) for column in right.columns]
    return Join(columns=(*left.columns, *renamed), kind="left", left=left, right=right, on=((key, key),))


def _plan(tables: dict[str, TableSchema], roots: dict[str, Node]) -> ProjectPlan:
    nodes: list[Node] = []
    for root in roots.values():
        _visit(root, nodes)
    keys = {"top_sales_by_city": ("day", "country", "region", "city"), "top_salesmen": ("day", "salesman_id")}
    models = {
        name: ModelPlan(name, "", "", root, TableSchema(name, root.columns, keys[name]), True, "", "", (), ())
        for name, root in roots.items()
    }
    return ProjectPlan("bench", "UTC", tables, models, tuple(nodes), "bench")


def _visit(node: Node, seen: list[Node]) -> None:
    sources = (node.left, node.right) if isinstance(node, Join) else (getattr(node, "input", None),)
    for source in sources:
        if source is not None and source not in seen:
            _visit(source, seen)
    seen.append(node)


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run(name: str, dataflow: Dataflow, batches: Iterator[list[TableChanges]], events: int) -> None:
    """Print what the batches took; `events` in each."""
    times, started = [], cpu()
    for batch in batches:
        begun = time.perf_counter()
        dataflow.apply(batch)
        times.append(time.perf_counter() - begun)
    used, total = cpu() - started, events * len(times)
    print(
        f"{name:34} {total / sum(times):>10,.0f} events/s   {used / total * 1e6:6.2f} CPU-s a million   "
        f"batch p50 {np.median(times) * 1e3:8.2f} ms  max {max(times) * 1e3:8.2f} ms",
        flush=True,
    )


def scenario(name: str, plan: ProjectPlan, parts: Callable[[Sales], list[TableChanges]], millions: float) -> None:
    dataflow, known = Dataflow(plan), int(millions * 1e6)
    first = dimension_parts() if "shop.orders" in plan.tables else []
    if first:
        dataflow.apply(first)
    bulk = parts(sales(0, known, 0, 1))
    run(f"{name}, bulk", dataflow, iter([bulk]), known)
    del bulk
    for size, repeats in ((100_000, 5), (1_000, 30), (1, 100)):
        made = [parts(sales(known + number * size, size, known, number + 2)) for number in range(repeats)]
        run(f"{name}, batches of {size:,}", dataflow, iter(made), size)
    print(f"{name}: {sum(size.bytes for size in dataflow.state()) / known:.0f} bytes of state an event")
    dataflow.close()


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    scenario("flat, two rankings", flat_plan(), flat_parts, millions)
    scenario("four-table join, two rankings", joined_plan(), joined_parts, millions)


if __name__ == "__main__":
    main()
