"""The plan's meaning, computed from scratch by DuckDB over whole tables: what the dataflow must equal after every batch."""

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from topline.models.plan import Aggregate, Join, Measure, Node, Order, ProjectPlan, Scan, Select, TopN, Union

Rows = list[tuple[object, ...]]


def evaluate(plan: ProjectPlan, tables: Mapping[str, pa.Table]) -> dict[str, Rows]:
    """Every model's rows, sorted."""
    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, rows in tables.items():
            connection.register(f"table {name}", rows)
        numbers = {node: number for number, node in enumerate(plan.nodes)}
        for node, number in numbers.items():
            connection.execute(f"CREATE TEMP TABLE n{number} AS {_sql(node, numbers)}")
        return {name: sorted_rows(_rows(connection, numbers[model.root])) for name, model in plan.models.items()}


def sorted_rows(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: [(value is not None, str(value)) for value in row])


def _rows(connection: duckdb.DuckDBPyConnection, number: int) -> Rows:
    return as_rows(connection.sql(f"SELECT * FROM n{number}").to_arrow_table())


def as_rows(table: pa.Table) -> Rows:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True)) if len(table) else []


def _sql(node: Node, numbers: Mapping[Node, int]) -> str:
    match node:
        case Scan():
            return f'SELECT {", ".join(_quoted(c.name) for c in node.columns)} FROM "table {node.table}"'
        case Select():
            pairs = zip(node.expressions, node.columns, strict=True)
            columns = ", ".join(f"CAST({sql} AS {column.type}) AS {_quoted(column.name)}" for sql, column in pairs)
            return f"SELECT {columns} FROM n{numbers[node.input]} WHERE {node.where or 'true'}"
        case Union():
            return " UNION ALL ".join(f"SELECT * FROM {_renamed(source, node, numbers)}" for source in node.inputs)
        case Join():
            return _join(node, numbers)
        case Aggregate():
            return _aggregate(node, numbers)
        case TopN():
            return _top(node, numbers)
        case _:
            raise AssertionError(node)


def _renamed(source: Node, node: Node, numbers: Mapping[Node, int]) -> str:
    return f"n{numbers[source]} AS r({', '.join(_quoted(column.name) for column in node.columns)})"


def _join(node: Join, numbers: Mapping[Node, int]) -> str:
    pairs = [("l", column.name) for column in node.left.columns] + [("r", column.name) for column in node.right.columns]
    columns = ", ".join(
        f"{side}.{_quoted(name)} AS {_quoted(out.name)}" for (side, name), out in zip(pairs, node.columns, strict=True)
    )
    on = " AND ".join(f"l.{_quoted(left)} = r.{_quoted(right)}" for left, right in node.on)
    return f"SELECT {columns} FROM n{numbers[node.left]} l {node.kind} JOIN n{numbers[node.right]} r ON {on}"


def _aggregate(node: Aggregate, numbers: Mapping[Node, int]) -> str:
    types = {column.name: column.type for column in node.columns}
    group = ", ".join(_quoted(name) for name in node.group_by)
    measures = [f"CAST({_measure(m)} AS {types[m.name]}) AS {_quoted(m.name)}" for m in node.measures]
    return f"SELECT {', '.join([group, *measures])} FROM n{numbers[node.input]} GROUP BY {group}"


def _measure(measure: Measure) -> str:
    argument = _quoted(measure.argument) if measure.argument else "*"
    if measure.function == "count_distinct":
        return f"count(DISTINCT {argument})"
    return f"{measure.function}({argument})"


def _top(node: TopN, numbers: Mapping[Node, int]) -> str:
    partition = f"PARTITION BY {', '.join(map(_quoted, node.partition_by))}" if node.partition_by else ""
    order = ", ".join(map(_order, node.order_by))
    ranked = f"SELECT *, row_number() OVER ({partition} ORDER BY {order}) AS rank FROM n{numbers[node.input]}"
    return f"SELECT * FROM ({ranked}) WHERE rank <= {node.limit}"


def _order(order: Order) -> str:
    way, nulls = "DESC" if order.descending else "ASC", "FIRST" if order.nulls_first else "LAST"
    return f"{_quoted(order.column)} {way} NULLS {nulls}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
