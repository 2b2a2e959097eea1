"""The tables that random models read, and few values for each column, so that rows meet, tie, and leave again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random

from topline.schema import Column, TableSchema, Type

Row = tuple[object, ...]
Values = Mapping[str, Sequence[object]]

_MONEY = ["10.50", "10.5", "10.5", "-3.1234", "0.00005", "-0.00005", "1e2", "9.99", "0", "-10.5", "abc", "", None]
_CITIES = ["Porto", " porto ", "Lisboa", "", "Zürich", "Aaaaaaaa-very-long-1", "Aaaaaaaa-very-long-2", "Ávila", None]
_MEN = ["s1", "s2", "S2", "salesman-with-a-long-id-1", "salesman-with-a-long-id-2", "é"]
_DAYS = [date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 1), date(1969, 12, 31)]
_INSTANTS = [
    datetime(2026, 3, 28, 23, 30, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 59, 59, 999999, UTC),
    datetime(1969, 12, 31, 23, tzinfo=UTC),
]
_TIMES = [datetime(2026, 1, 1, 12), datetime(1969, 12, 31, 23, 59, 59, 1), datetime(2026, 1, 1, 12, 0, 0, 1)]


@dataclass(frozen=True)
class TableSpec:
    """A table, the values of its columns, and the partitions that write it. `most`: how many keys it can have."""

    schema: TableSchema
    values: Values
    partitions: tuple[str, ...] = ("",)

    @property
    def most(self) -> int:
        product = 1
        for name in self.schema.key:
            product *= len(set(self.values[name]))
        return product

    def row(self, random: Random) -> Row:
        return tuple(random.choice(self.values[name]) for name in self.schema.names)

    def key(self, row: Row) -> Row:
        return tuple(row[self.schema.names.index(name)] for name in self.schema.key)

    def same_key(self, random: Random, row: Row) -> Row:
        """Other values under the same key."""
        return tuple(
            value if name in self.schema.key else random.choice(self.values[name])
            for name, value in zip(self.schema.names, row, strict=True)
        )


def spec(
    table: str, key: Sequence[str], partitions: Sequence[str] = ("",), /, **columns: tuple[Type, Sequence[object]]
) -> TableSpec:
    schema = TableSchema(table, tuple(Column(column, type_) for column, (type_, _) in columns.items()), tuple(key))
    return TableSpec(schema, {column: values for column, (_, values) in columns.items()}, tuple(partitions))


def shop(ids: int) -> dict[str, TableSpec]:
    """Four tables of two sources, keys of one to three columns, at the front and amid; `ids` orders at most."""
    numbers = list(range(1, ids + 1))
    orders = spec(
        "shop.orders",
        ["order_id"],
        order_id=(Type.BIGINT, numbers),
        day=(Type.DATE, [*_DAYS, None]),
        city=(Type.TEXT, _CITIES),
        man_id=(Type.TEXT, [*_MEN, None]),
        amount=(Type.TEXT, _MONEY),
        urgent=(Type.BOOLEAN, [True, False, None]),
        parent=(Type.BIGINT, [*numbers[:6], None]),
        seen_at=(Type.TIMESTAMPTZ, [*_INSTANTS, None]),
    )
    men = spec(
        "shop.men",
        ["man_id"],
        name=(Type.TEXT, ["Ana", "Rui", "ana", None]),
        man_id=(Type.TEXT, _MEN),
        team=(Type.TEXT, ["north", "south", None]),
        since=(Type.TIMESTAMP, [*_TIMES, None]),
    )
    lines = spec(
        "shop.lines",
        ["order_id", "line"],
        order_id=(Type.BIGINT, numbers),
        line=(Type.BIGINT, [1, 2]),
        category=(Type.TEXT, ["pens", "Porto", None]),
        quantity=(Type.BIGINT, [1, 2, -5, 0, 2**33, None]),
        price=(Type.TEXT, _MONEY),
    )
    sales = spec(
        "branches.sales",
        ["day", "city", "number"],
        ["a.csv", "b.csv"],
        number=(Type.BIGINT, [-1, 1, *range(2, 1 + ids // 4)]),
        man_id=(Type.TEXT, [*_MEN[:3], None]),
        day=(Type.DATE, _DAYS),
        amount=(Type.TEXT, _MONEY),
        city=(Type.TEXT, ["Porto", "", "Zürich"]),
        paid=(Type.BOOLEAN, [True, False, None]),
    )
    return {one.schema.name: one for one in (orders, men, lines, sales)}


def sources_yaml(tables: Mapping[str, TableSpec]) -> str:
    """dbt's declaration of the tables."""
    lines = ["sources:"]
    for source in dict.fromkeys(name.partition(".")[0] for name in tables):
        lines += [f"  - name: {source}", "    tables:"]
        for name, one in tables.items():
            if name.partition(".")[0] == source:
                key = ", ".join(one.schema.key)
                lines += [f"      - name: {name.partition('.')[2]}", f"        config: {{meta: {{key: [{key}]}}}}"]
                lines += ["        columns:"]
                lines += [f"          - {{name: {c.name}, data_type: {c.type.value.lower()}}}" for c in one.schema.columns]
    return "\n".join(lines) + "\n"
