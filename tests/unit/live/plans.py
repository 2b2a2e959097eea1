"""Plans made by hand, node by node, for tests of the dataflow: the shop in little, and every operator over it."""

from collections.abc import Sequence
from typing import Literal

from topline.models.plan import Aggregate, Join, Measure, ModelPlan, Node, Order, ProjectPlan, Scan, Select, TopN, Union
from topline.schema import Column, TableSchema, Type

ORDERS = TableSchema(
    "shop.orders",
    (
        Column("order_id", Type.BIGINT),
        Column("day", Type.DATE),
        Column("city", Type.TEXT),
        Column("salesman_id", Type.TEXT),
        Column("amount", Type.DECIMAL),
        Column("urgent", Type.BOOLEAN),
        Column("parent", Type.BIGINT),
    ),
    ("order_id",),
)
SALESMEN = TableSchema(
    "shop.salesmen", (Column("name", Type.TEXT), Column("salesman_id", Type.TEXT), Column("team", Type.TEXT)), ("salesman_id",)
)
ITEMS = TableSchema(
    "shop.items",
    (
        Column("order_id", Type.BIGINT),
        Column("line", Type.BIGINT),
        Column("category", Type.TEXT),
        Column("quantity", Type.BIGINT),
    ),
    ("order_id", "line"),
)
TABLES = {schema.name: schema for schema in (ORDERS, SALESMEN, ITEMS)}


def scan(schema: TableSchema) -> Scan:
    return Scan(columns=schema.columns, key=schema.key, table=schema.name)


def select(source: Node, columns: Sequence[tuple[str, Type, str]], where: str | None = None) -> Select:
    """columns: (name, type, expression)."""
    outward = tuple(Column(name, type_) for name, type_, _ in columns)
    return Select(columns=outward, input=source, expressions=tuple(sql for _, _, sql in columns), where=where)


def pick(source: Node, *names: str) -> Select:
    types = {column.name: column.type for column in source.columns}
    return select(source, [(name, types[name], f'"{name}"') for name in names])


def join(kind: Literal["inner", "left"], left: Node, right: Node, *on: tuple[str, str]) -> Join:
    taken = {column.name for column in left.columns}
    renamed = [Column(f"r_{column.name}" if column.name in taken else column.name, column.type) for column in right.columns]
    return Join(columns=(*left.columns, *renamed), kind=kind, left=left, right=right, on=on)


def union(*inputs: Node) -> Union:
    return Union(columns=inputs[0].columns, inputs=inputs)


def aggregate(source: Node, group_by: Sequence[str], *measures: Measure) -> Aggregate:
    types = {column.name: column.type for column in source.columns}
    counts = ("count", "count_distinct")
    made = [Column(m.name, Type.BIGINT if m.function in counts else types[m.argument or ""]) for m in measures]
    columns = (*(Column(name, types[name]) for name in group_by), *made)
    return Aggregate(columns=columns, key=tuple(group_by), input=source, group_by=tuple(group_by), measures=measures)


def top(source: Node, partition_by: Sequence[str], order_by: Sequence[Order], limit: int) -> TopN:
    columns = (*source.columns, Column("rank", Type.BIGINT))
    return TopN(columns=columns, input=source, partition_by=tuple(partition_by), order_by=tuple(order_by), limit=limit)


def plan(
    models: dict[str, Node], keys: dict[str, tuple[str, ...]], tables: dict[str, TableSchema] | None = None
) -> ProjectPlan:
    """Every model is published, under `keys`; NULL in a text key becomes '~', since a published key is never NULL."""
    raw, models = models, {name: _keyed(root, keys[name]) for name, root in models.items()}
    nodes: list[Node] = []
    for root in models.values():
        _visit(root, nodes)
    made = {name: _model(name, root, keys[name], raw) for name, root in models.items()}
    return ProjectPlan("test", "UTC", TABLES if tables is None else tables, made, tuple(nodes), "fingerprint")


def _keyed(root: Node, key: tuple[str, ...]) -> Node:
    never_null = {Type.TEXT: "'~'", Type.DATE: "DATE '1900-01-01'", Type.BIGINT: "-1", Type.DECIMAL: "-1"}
    columns = [
        (c.name, c.type, f'coalesce("{c.name}", {never_null[c.type]})' if c.name in key else f'"{c.name}"')
        for c in root.columns
    ]
    return select(root, columns)


def _visit(node: Node, seen: list[Node]) -> None:
    if node in seen:
        return
    for source in inputs(node):
        _visit(source, seen)
    seen.append(node)


def inputs(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Join):
        return (node.left, node.right)
    if isinstance(node, Union):
        return node.inputs
    return (node.input,) if isinstance(node, Select | Aggregate | TopN) else ()


def _model(name: str, root: Node, key: tuple[str, ...], models: dict[str, Node]) -> ModelPlan:
    behind: list[Node] = []
    _visit(root, behind)
    tables = tuple(node.table for node in behind if isinstance(node, Scan))
    depends_on = (*tables, *(other for other, node in models.items() if other != name and node in behind))
    schema = TableSchema(name, root.columns, key)
    return ModelPlan(name, f"{name}.sql", "", root, schema, True, "", "", depends_on, ())


def everything() -> ProjectPlan:
    """All operators, and compositions of them at least three deep."""
    orders, salesmen, items = scan(ORDERS), scan(SALESMEN), scan(ITEMS)
    staged = select(
        orders,
        [
            ("order_id", Type.BIGINT, '"order_id"'),
            ("day", Type.DATE, '"day"'),
            ("city", Type.TEXT, 'upper(trim("city"))'),
            ("salesman_id", Type.TEXT, '"salesman_id"'),
            ("amount", Type.DECIMAL, '"amount" * 2'),
            ("kind", Type.TEXT, "'shop'"),
        ],
        '"amount" IS NULL OR "amount" > -50',
    )
    by_city = aggregate(
        staged,
        ["day", "city"],
        Measure("total", "sum", "amount"),
        Measure("deals", "count"),
        Measure("amounts", "count", "amount"),
        Measure("largest", "max", "amount"),
        Measure("smallest", "min", "amount"),
        Measure("last_man", "max", "salesman_id"),
        Measure("first_man", "min", "salesman_id"),
        Measure("men", "count_distinct", "salesman_id"),
    )
    totals = aggregate(staged, ["salesman_id"], Measure("total", "sum", "amount"), Measure("deals", "count"))
    quantity = Measure("quantity", "sum", "quantity")
    pieces = aggregate(items, ["order_id"], quantity, Measure("kinds", "count_distinct", "category"))
    sales = join("left", join("left", staged, salesmen, ("salesman_id", "salesman_id")), pieces, ("order_id", "order_id"))
    teams = aggregate(sales, ["team"], quantity, Measure("cities", "count_distinct", "city"))
    matched = join("inner", totals, salesmen, ("salesman_id", "salesman_id"))
    best = top(matched, ["team"], [Order("total", True), Order("salesman_id")], 2)
    leaders = top(by_city, [], [Order("total", True), Order("day", False, True), Order("city", True)], 3)
    parents = pick(orders, "order_id", "city")
    families = join("inner", pick(orders, "order_id", "parent", "amount"), parents, ("parent", "order_id"))
    words = union(select(staged, [("word", Type.TEXT, '"city"')]), select(items, [("word", Type.TEXT, '"category"')]))
    distinct = aggregate(words, ["word"])
    tops = union(
        select(best, [("who", Type.TEXT, '"salesman_id"'), ("rank", Type.BIGINT, '"rank"')]),
        select(leaders, [("who", Type.TEXT, 'concat(\'city \', "city", "day")'), ("rank", Type.BIGINT, '"rank" + 100')]),
    )
    known = aggregate(tops, ["who"], Measure("best", "min", "rank"), Measure("worst", "max", "rank"))
    models: dict[str, Node] = {
        "by_city": by_city, "sales": sales, "teams": teams, "best": best, "leaders": leaders, "families": families,
        "distinct": distinct, "known": known,
    }  # fmt: skip
    keys = {
        "by_city": ("day", "city"), "sales": ("order_id",), "teams": ("team",), "best": ("salesman_id",),
        "leaders": ("day", "city"), "families": ("order_id",), "distinct": ("word",), "known": ("who",),
    }  # fmt: skip
    return plan(models, keys)


def sums() -> ProjectPlan:
    """Money by city, pieces by category, and `over`, which reads the money."""
    orders, items = scan(ORDERS), scan(ITEMS)
    money = aggregate(orders, ["city"], Measure("total", "sum", "amount"))
    pieces = aggregate(items, ["category"], Measure("quantity", "sum", "quantity"))
    over = aggregate(money, ["total"], Measure("cities", "count"))
    models: dict[str, Node] = {"money": money, "pieces": pieces, "over": over}
    return plan(models, {"money": ("city",), "pieces": ("category",), "over": ("total",)})
