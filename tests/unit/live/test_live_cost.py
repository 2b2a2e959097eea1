"""The cost of a batch follows the batch, not the state: operators count the rows that they read."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.unit.live.plans import aggregate, join, plan, scan, top
from topline.changes import DELETE, UPSERT, TableChanges
from topline.live.dataflow import Applied, Dataflow
from topline.models.plan import Measure, Order, ProjectPlan
from topline.schema import Column, TableSchema, Type

SALES = TableSchema("s.sales", tuple(Column(n, Type.BIGINT) for n in ("sale", "day", "city", "man", "amount")), ("sale",))
MEN = TableSchema("s.men", (Column("man", Type.BIGINT), Column("name", Type.TEXT)), ("man",))
CITIES, STAFF, MOVED = 10, 50, 60  # cities a day, salesmen, and the sales of one more salesman, the same in every state

Ints = npt.NDArray[np.int64]


class Size(NamedTuple):
    sales: int
    per_group: int  # sales of a city's day


SMALL = Size(100_000, 100)
MANY = Size(3_000_000, 100)  # 30 times the groups
LARGE = Size(3_000_000, 3_000)  # the same groups, 30 times larger


def rankings() -> ProjectPlan:
    sales = join("left", scan(SALES), scan(MEN), ("man", "man"))
    total, largest = Measure("total", "sum", "amount"), Measure("largest", "max", "amount")
    cities = aggregate(sales, ["day", "city"], total, largest, Measure("smallest", "min", "amount"))
    men = aggregate(
        sales, ["day", "man"], total, largest, Measure("name", "max", "name"), Measure("cities", "count_distinct", "city")
    )
    best = top(men, ["day"], [Order("total", True), Order("man")], 10)
    keys: dict[str, tuple[str, ...]] = {"cities": ("day", "city"), "men": ("day", "man"), "best": ("day", "man")}
    return plan({"cities": cities, "men": men, "best": best}, keys, {SALES.name: SALES, MEN.name: MEN})


def sales(size: Size) -> list[Ints]:
    sale = np.arange(size.sales)
    group = sale // size.per_group
    man = np.where(sale % (size.sales // MOVED) == 0, STAFF, sale % STAFF)
    amount = (sale * 2_654_435_761) % 1_000_003 * 4_000 + sale % 4_000  # scattered, and no two of a group alike
    return [sale, group // CITIES, group % CITIES, man, amount]


def change(schema: TableSchema, columns: list[pa.Array], ops: npt.NDArray[np.int8]) -> TableChanges:
    count = len(ops)
    return TableChanges(
        schema.name, "p", pa.table(columns, schema=schema.arrow), ops, np.zeros(count, np.int64), np.arange(count)
    )


def staff(names: dict[int, str]) -> TableChanges:
    ops = np.full(len(names), UPSERT, np.int8)
    return change(MEN, [pa.array(list(names), pa.int64()), pa.array(list(names.values()))], ops)


def thousand(columns: list[Ints], size: Size) -> TableChanges:
    """Of 500 cities' days the largest sale goes (and so the maximum) and another comes."""
    sale, _, _, _, amount = columns
    largest = [
        int(amount[start : start + size.per_group].argmax()) + start for start in range(0, 500 * size.per_group, size.per_group)
    ]
    gone = [column[largest] for column in columns]
    come = [gone[0] + len(sale), *gone[1:4], gone[4] // 2]
    ops = np.repeat([DELETE, UPSERT], 500).astype(np.int8)
    return change(SALES, [pa.array(np.concatenate(pair)) for pair in zip(gone, come, strict=True)], ops)


class Reads(NamedTuple):
    """Rows read by 1,000 changes, and by a correction of the salesman who has 60 sales."""

    changes: int
    correction: int


def reads(size: Size) -> Reads:
    dataflow, columns = Dataflow(rankings()), sales(size)
    bulk = change(SALES, [pa.array(column) for column in columns], np.full(size.sales, UPSERT, np.int8))
    dataflow.apply([staff({man: f"Name {man}" for man in range(STAFF + 1)}), bulk])
    changed = dataflow.apply([thousand(columns, size)])
    assert len(changed.dirty["cities"]) == 500
    corrected: Applied = dataflow.apply([staff({STAFF: "Zoe"})])
    assert 50 <= len(corrected.dirty["men"]) <= MOVED + 1
    dataflow.close()
    return Reads(changed.rows_read, corrected.rows_read)


@pytest.fixture(scope="module")
def small() -> Reads:
    return reads(SMALL)


@pytest.mark.parametrize("size", [MANY, LARGE], ids=["30 times the groups", "groups 30 times larger"])
def test_a_batch_reads_as_many_rows_over_30_times_the_sales(small: Reads, size: Size) -> None:
    large = reads(size)
    assert large.changes == pytest.approx(small.changes, rel=0.1)
    assert large.correction == pytest.approx(small.correction, rel=0.1)
    assert small.changes < 15 * 1_000
    assert small.correction < 60 * MOVED


def test_a_count_that_stands_beside_a_sum_or_is_of_all_rows_takes_no_room() -> None:
    """And is right where values are NULL, come and go."""
    known = [Measure("total", "sum", "amount"), Measure("men", "count", "man")]
    counted = [Measure("deals", "count"), Measure("amounts", "count", "amount"), *known]
    dataflows = [
        Dataflow(plan({"days": aggregate(scan(SALES), ["day"], *measures)}, {"days": ("day",)}, {SALES.name: SALES}))
        for measures in (counted, known)
    ]
    for sales_, amounts, ops in (([1, 2, 3], [5, None, None], UPSERT), ([2, 3], [None, 7], UPSERT), ([1], [None], DELETE)):
        columns = [pa.array(values, pa.int64()) for values in (sales_, [1] * len(sales_), *[[None] * len(sales_)] * 2, amounts)]
        for dataflow in dataflows:
            dataflow.apply([change(SALES, columns, np.full(len(sales_), ops, np.int8))])
    (row,) = next(iter(dataflows[0].all_rows("days"))).to_pylist()
    assert row == {"day": 1, "deals": 2, "amounts": 1, "total": 7, "men": 0}
    more, fewer = ([size for size in dataflow.state() if size.description.startswith("aggregate")] for dataflow in dataflows)
    assert [size.bytes for size in more] == [size.bytes for size in fewer] != []
