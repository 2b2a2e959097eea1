"""`why`: walks the plan backwards from one result to the rows that it is made of (Cui and Widom, lineage tracing, 2000)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from topline.errors import UsageError
from topline.log import LetterState, LogReader
from topline.models.plan import Aggregate, Join, Node, ProjectPlan, Scan, Select, TopN, Union
from topline.models.scratch import names_of, quoted, views
from topline.schema import TableSchema

NULL = r"\N"


@dataclass(frozen=True, slots=True)
class Contribution:
    """The rows of one table that take part in a result, in the table's columns."""

    table: str
    rows: pa.Table


def trace(
    connection: duckdb.DuckDBPyConnection, plan: ProjectPlan, model: str, key: Mapping[str, str | None]
) -> tuple[pa.Table, list[Contribution]]:
    """The result row of `model` with `key` (column -> text), and the rows of each table behind it.

    `connection` has a relation `"source.table"` for each table. UsageError when the key's columns are not the model's, or a
    value is not of its type. None is NULL.
    """
    root = plan.models[model].root
    schema = plan.models[model].schema
    if set(key) != set(schema.key):
        raise UsageError(f"the key of {model} is ({', '.join(schema.key)}); found ({', '.join(key)})")
    for name, sql in views(plan):
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quoted(name)} AS {sql}")
    walk = _Walk(connection, plan)
    found = walk.want_key(root, {name: (value, str(schema.type_of(name))) for name, value in key.items()})
    return found, walk.back()


class _Walk:
    """`wanted` holds, for each node reached so far, a temporary table with the rows that matter of it."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: ProjectPlan) -> None:
        self._connection = connection
        self._nodes = plan.nodes
        self._names = names_of(plan)
        self._wanted: dict[Node, str] = {}

    def want_key(self, node: Node, key: Mapping[str, tuple[str | None, str]]) -> pa.Table:
        self._require_values(key)
        match = " AND ".join(f"{quoted(name)} IS NOT DISTINCT FROM TRY_CAST(? AS {kind})" for name, (_, kind) in key.items())
        sql = f"SELECT * FROM {quoted(self._names[node])} WHERE {match}"
        rows = self._connection.sql(sql, params=[value for value, _ in key.values()]).to_arrow_table()
        self._connection.register("~key", rows)
        self._want(node, 'SELECT * FROM "~key"')
        return rows

    def _require_values(self, key: Mapping[str, tuple[str | None, str]]) -> None:
        for name, (value, kind) in key.items():
            fits = self._connection.execute(f"SELECT TRY_CAST(? AS {kind}) IS NOT NULL", [value]).fetchall()
            if value is not None and fits != [(True,)]:
                raise UsageError(f"{name}: {value!r} is not a {kind}" + (", such as 2026-11-21" if kind == "DATE" else ""))

    def back(self) -> list[Contribution]:
        for node in reversed(self._nodes):
            if node in self._wanted:
                self._inputs(node, quoted(self._wanted[node]))
        return [self._contribution(node) for node in self._nodes if isinstance(node, Scan) and node in self._wanted]

    def _contribution(self, node: Scan) -> Contribution:
        rows = self._connection.sql(f"SELECT DISTINCT * FROM {quoted(self._wanted[node])}").to_arrow_table()
        return Contribution(node.table, rows)

    def _want(self, node: Node, sql: str) -> None:
        if node in self._wanted:
            self._connection.execute(f"INSERT INTO {quoted(self._wanted[node])} {sql}")
            return
        name = self._wanted[node] = f"~wanted{len(self._wanted)}"
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(name)} AS {sql}")

    def _inputs(self, node: Node, wanted: str) -> None:
        match node:
            case Select():
                self._want(node.input, self._select(node, wanted))
            case Union():
                for branch in node.inputs:
                    pairs = [(a.name, b.name) for a, b in zip(branch.columns, node.columns, strict=True)]
                    self._want(branch, self._matching(branch, wanted, pairs))
            case Aggregate():
                self._want(node.input, self._matching(node.input, wanted, [(name, name) for name in node.group_by]))
            case TopN():
                self._want(node.input, self._matching(node.input, wanted, [(c.name, c.name) for c in node.input.columns]))
            case Join():
                self._join(node, wanted)

    def _select(self, node: Select, wanted: str) -> str:
        pairs = enumerate(zip(node.expressions, node.columns, strict=True))
        made = ", ".join(f'CAST({sql} AS {c.type}) AS "~{i}"' for i, (sql, c) in pairs)
        where = f" WHERE {node.where}" if node.where else ""
        on = " AND ".join(f'i."~{i}" IS NOT DISTINCT FROM w.{quoted(c.name)}' for i, c in enumerate(node.columns))
        columns = ", ".join(f"i.{quoted(c.name)}" for c in node.input.columns)
        inner = f"(SELECT *, {made} FROM {quoted(self._names[node.input])}{where})"
        return f"SELECT {columns} FROM {inner} i SEMI JOIN {wanted} w ON {on}"

    def _matching(self, node: Node, wanted: str, pairs: list[tuple[str, str]]) -> str:
        on = " AND ".join(f"i.{quoted(mine)} IS NOT DISTINCT FROM w.{quoted(theirs)}" for mine, theirs in pairs)
        return f"SELECT i.* FROM {quoted(self._names[node])} i SEMI JOIN {wanted} w ON {on}"

    def _join(self, node: Join, wanted: str) -> None:
        split = len(node.left.columns)
        left = [(a.name, b.name) for a, b in zip(node.left.columns, node.columns[:split], strict=True)]
        right = [(a.name, b.name) for a, b in zip(node.right.columns, node.columns[split:], strict=True)]
        keys = " AND ".join(f"i.{quoted(name)} IS NOT NULL" for _, name in node.on)
        self._want(node.left, self._matching(node.left, wanted, left))
        self._want(node.right, f"{self._matching(node.right, wanted, right)} WHERE {keys}")


def explain_key(schema: TableSchema, words: Sequence[str]) -> dict[str, str | None]:
    r"""The key from the command line: the values in the key's order, or NAME=VALUE pairs; \N is NULL, as in COPY."""
    if all(word.startswith(tuple(f"{name}=" for name in schema.key)) for word in words):
        given = {name: value for name, _, value in (word.partition("=") for word in words)}
    elif len(words) == len(schema.key):
        given = dict(zip(schema.key, words, strict=True))
    else:
        raise UsageError(f"the key of {schema.name} is ({', '.join(schema.key)}): {len(schema.key)} values; found {len(words)}")
    return {name: None if value == NULL else value for name, value in given.items()}


def locate(log: LogReader, plan: ProjectPlan, part: Contribution, kind: str) -> list[dict[str, Any]]:
    """The contributing rows as dictionaries, each with `where` it came from and `taken`, when the log took it."""
    schema = plan.tables[part.table]
    if not len(part.rows):
        return []
    journey = log.journey(part.table, part.rows.select(schema.key)).to_pylist()
    rows = sorted(journey, key=lambda row: (row["_epoch"], row["_hi"], row["_lo"]))
    letters = {(x.partition, *x.position): x.id for x in log.letters.list(table=part.table, state=LetterState.REPLAYED)}
    return [
        {**{name: row[name] for name in schema.names}, "where": _where(row, kind, letters), "taken": row["_time"]}
        for row in rows
    ]


def _where(row: Mapping[str, Any], kind: str, letters: Mapping[tuple[str, int, int], int]) -> str:
    """Where a row came from, in the words of its kind of source; `letters`: those that were replayed, by where they stood."""
    if letter := letters.get((row["_partition"], row["_hi"], row["_lo"])):
        return f"dead letter {letter}"
    return _WHERE.get(kind, _plain_where)(row)


def _file_where(row: Mapping[str, Any]) -> str:
    return f"{row['_partition'].partition(':')[2]}:{row['_lo']} (reading {row['_hi']})"


def _lsn_where(row: Mapping[str, Any]) -> str:
    """PostgreSQL writes an LSN as two hexadecimal halves (pg_lsn)."""
    return f"LSN {row['_hi'] >> 32:X}/{row['_hi'] & 0xFFFFFFFF:X}"


def _poll_where(row: Mapping[str, Any]) -> str:
    return f"record {row['_lo']} of poll {row['_hi']}"


def _plain_where(row: Mapping[str, Any]) -> str:
    return f"{row['_partition']} at ({row['_hi']}, {row['_lo']})"


_WHERE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "files": _file_where,
    "postgres": _lsn_where,
    **dict.fromkeys(("soap", "rest", "sql"), _poll_where),
}
