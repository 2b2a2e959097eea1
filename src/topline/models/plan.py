"""The plan of a project: what every engine, `explain`, lineage and the audit read. Frozen data, no behaviour.

A plan is a graph of nodes. A CTE or a model that is read twice is one node with two readers, so nodes are compared by
identity and listed in topological order (inputs first).
"""

from dataclasses import dataclass, field
from typing import Literal

from topline.models.dialects import Dialect
from topline.schema import Column, TableSchema


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """columns: what the node yields, in order. key: columns unique in its output, where one is known, else None."""

    columns: tuple[Column, ...]
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scan(Node):
    """A replicated table, whole (`source.table`)."""

    table: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Select(Node):
    """A stateless chain: projection and filter in one. Expressions are DuckDB SQL over the input's column names (quoted).

    `expressions` stand in the order of `columns`. A row passes where `where` is true (not NULL, not false).
    """

    input: Node
    expressions: tuple[str, ...]
    where: str | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Union(Node):
    """UNION ALL: the inputs' columns agree in number and type, matched by place."""

    inputs: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Join(Node):
    """An equi-join. `on` pairs a left with a right column; NULL matches nothing. Yields left's columns, then right's,
    renamed to `columns` by place. Conditions beyond equality are a Select above (inner joins only)."""

    kind: Literal["inner", "left"]
    left: Node
    right: Node
    on: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """One aggregate. `argument` is a column of the input (None: COUNT(*)). NULLs are ignored, as in SQL.

    sum of BIGINT is BIGINT, of DECIMAL is DECIMAL, NULL without a non-NULL value; overflow halts the model.
    """

    name: str
    function: Literal["sum", "count", "min", "max", "count_distinct"]
    argument: str | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Aggregate(Node):
    """GROUP BY (NULLs group together); no measures: SELECT DISTINCT. Yields the group's columns, then the measures."""

    input: Node
    group_by: tuple[str, ...]
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """A sort key. Text sorts by UTF-8 bytes. NULLs stand where `nulls_first` says."""

    column: str
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TopN(Node):
    """The first `limit` rows of each partition by `order_by`; yields the input's columns, then `rank` (BIGINT, from 1)
    as the last column. The order is total: the loader has seen that it holds a key of the input."""

    input: Node
    partition_by: tuple[str, ...]
    order_by: tuple[Order, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model's column comes from: (table or model, column) pairs, sorted."""

    column: str
    origins: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model. `sql` runs from scratch, in DuckDB and in PostgreSQL, over relations named `"source.table"` (quoted, with
    the dot inside) and `"model"`; `sql_elsewhere` is the same for each other engine (by dialect), over relations `source.table`
    and `model`. `published` models have a key and become tables of the results database."""

    name: str
    path: str
    description: str
    root: Node
    schema: TableSchema
    published: bool
    sql_duckdb: str
    sql_postgres: str
    depends_on: tuple[str, ...]
    lineage: tuple[Lineage, ...]
    indexes: tuple[tuple[str, ...], ...] = ()
    column_descriptions: dict[str, str] = field(default_factory=dict)
    sql_elsewhere: dict[Dialect, str] = field(default_factory=dict)
    live_only: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ProjectPlan:
    """All live models in topological order, the tables that they read, and the nodes (inputs first) behind them.

    `fingerprint` changes when any result could: the models' meaning, a table's columns or key, a variable, the time zone.
    """

    name: str
    time_zone: str
    tables: dict[str, TableSchema]
    models: dict[str, ModelPlan]
    nodes: tuple[Node, ...]
    fingerprint: str
