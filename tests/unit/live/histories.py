"""Random histories of the test tables, and what the tables must hold after them (dictionaries)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from tests.unit.live.plans import ITEMS, ORDERS, SALESMEN, TABLES
from topline.changes import DELETE, UPSERT, Part, Position, Sweep, TableChanges
from topline.schema import TableSchema

CITIES = ["Porto", " porto ", "Lisboa", "", "Zürich", "Aaaaaaaa-very-long-1", "Aaaaaaaa-very-long-2", None]
MEN = ["s1", "s2", "salesman-with-a-long-id-1", "salesman-with-a-long-id-2", "é", None]

DAY = date(2026, 1, 1)
DATES = [DAY, date(2026, 1, 2), date(1969, 12, 31), None]

ids = st.integers(1, 8)
orders = st.tuples(
    ids,
    st.sampled_from(DATES),
    st.sampled_from(CITIES),
    st.sampled_from(MEN),
    st.sampled_from([None, *(Decimal(text) for text in ("10.5000", "-3.1234", "10.5000", "0.0001", "-99", "99999999"))]),
    st.sampled_from([True, False, None]),
    st.one_of(st.none(), ids),
)
salesmen = st.tuples(
    st.sampled_from(["Ana", "Rui", None]),
    st.sampled_from([man for man in MEN if man]),
    st.sampled_from(["north", "south", None]),
)
items = st.tuples(ids, st.integers(1, 3), st.sampled_from(["pens", "PORTO", None]), st.sampled_from([None, 1, 2, -5, 2**40]))
ROWS = {ORDERS.name: orders, SALESMEN.name: salesmen, ITEMS.name: items}

Change = tuple[int, tuple[object, ...]]


@dataclass(frozen=True)
class Event:
    """changes of one table from one partition, or (changes None) a sweep of what it wrote before the last `back` positions."""

    table: str
    partition: str
    changes: tuple[Change, ...] | None
    back: int | None = None


def events() -> st.SearchStrategy[Event]:
    ops = st.sampled_from([UPSERT, UPSERT, UPSERT, DELETE])

    def of(table: str) -> st.SearchStrategy[Event]:
        partitions = st.sampled_from(["one", "two"])
        changes = st.lists(st.tuples(ops, ROWS[table]), min_size=1, max_size=12).map(tuple)
        changed = st.builds(Event, st.just(table), partitions, changes)
        swept = st.builds(Event, st.just(table), partitions, st.none(), st.one_of(st.none(), st.integers(0, 3)))
        return st.one_of(changed, changed, changed, swept)

    return st.sampled_from([ORDERS.name, ORDERS.name, SALESMEN.name, ITEMS.name]).flatmap(of)


def long_history(seed: int, count: int) -> Iterator[list[Event]]:
    """`count` crowded batches over few keys, so that every row meets every other: rows come, change, move and go."""
    random = Random(seed)
    for _ in range(count):
        yield [_random_event(random) for _ in range(random.randint(1, 4))]


def _random_event(random: Random) -> Event:
    table = random.choice([ORDERS.name, SALESMEN.name, ITEMS.name])
    partition = random.choice(["one", "two"])
    if random.random() < 0.08:
        return Event(table, partition, None, random.choice([None, 0, 2, 5]))
    ops = [UPSERT, UPSERT, DELETE] if random.random() < 0.5 else [UPSERT, DELETE, DELETE]
    count = random.choice([1, 1, 3, 10])
    return Event(table, partition, tuple((random.choice(ops), _random_row(random, table)) for _ in range(count)))


def _random_row(random: Random, table: str) -> tuple[object, ...]:
    pick = random.choice
    if table == ORDERS.name:
        amount = pick([None, Decimal("10.5"), Decimal("10.5"), Decimal("-3.1234"), Decimal("-99"), Decimal("0.0001")])
        return (pick(range(8)), pick(DATES), pick(CITIES), pick(MEN), amount, pick([True, None]), pick([None, *range(8)]))
    if table == SALESMEN.name:
        return (pick(["Ana", "Rui", None]), pick([man for man in MEN if man]), pick(["north", "south", None]))
    return (pick(range(8)), pick([1, 2]), pick(["pens", "PORTO", None]), pick([None, 1, 2, -5, 2**40]))


batches = st.lists(st.lists(events(), max_size=4), min_size=1, max_size=5)


@dataclass
class Reference:
    """What the tables hold, in plain dictionaries: key -> (row, partition, hi)."""

    clock: int = 0
    tables: dict[str, dict[tuple[object, ...], tuple[tuple[object, ...], str, int]]] = field(
        default_factory=lambda: {name: {} for name in TABLES}
    )

    def parts(self, batch: Iterable[Event]) -> list[Part]:
        """The batch as parts for the dataflow, applied here as well."""
        return [self._part(event) for event in batch]

    def _part(self, event: Event) -> Part:
        self.clock += 1
        if event.changes is None:
            return self._sweep(event)
        held, keys = self.tables[event.table], key_places(TABLES[event.table])
        for op, row in event.changes:
            key = tuple(row[place] for place in keys)
            if op == UPSERT:
                held[key] = (row, event.partition, self.clock)
            else:
                held.pop(key, None)
        return changes(event.table, event.changes, event.partition, self.clock)

    def _sweep(self, event: Event) -> Sweep:
        held = self.tables[event.table]
        partition = None if event.back is None else event.partition
        below = None if event.back is None else self.clock - event.back
        for key, (_, owner, hi) in list(held.items()):
            if partition is None or (owner == partition and below is not None and hi < below):
                del held[key]
        return Sweep(event.table, partition, below, Position(self.clock, 0))

    def arrow(self) -> dict[str, pa.Table]:
        return {name: as_table(TABLES[name], [row for row, _, _ in held.values()]) for name, held in self.tables.items()}


def key_places(schema: TableSchema) -> list[int]:
    return [schema.names.index(name) for name in schema.key]


def as_table(schema: TableSchema, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema.columns)
    arrays = [pa.array(values, column.type.arrow) for values, column in zip(columns, schema.columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema.arrow)


def changes(table: str, rows: Sequence[Change], partition: str = "one", hi: int = 1) -> TableChanges:
    count = len(rows)
    arrow = as_table(TABLES[table], [row for _, row in rows])
    ops = np.array([op for op, _ in rows], np.int8)
    return TableChanges(table, partition, arrow, ops, np.full(count, hi), np.arange(count))


def upserts(table: str, *rows: tuple[object, ...], partition: str = "one", hi: int = 1) -> TableChanges:
    return changes(table, [(UPSERT, row) for row in rows], partition, hi)


def deletes(table: str, *rows: tuple[object, ...], partition: str = "one", hi: int = 1) -> TableChanges:
    return changes(table, [(DELETE, row) for row in rows], partition, hi)


def order(number: int, amount: str, city: str = "Porto") -> tuple[object, ...]:
    return (number, DAY, city, "s1", Decimal(amount), None, None)


def item(number: int, quantity: int) -> tuple[object, ...]:
    return (number, 1, "pens", quantity)
