"""The audit: the models' original SQL, run by DuckDB over the log's tables, compared with the rows in PostgreSQL."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from topline.log import LogReader
from topline.models.plan import ModelPlan, ProjectPlan
from topline.models.scratch import quoted
from topline.schema import TableSchema
from topline.sources.base import Source, reads_anew

SHOWN = 5  # differing rows shown per model


@dataclass(frozen=True, slots=True)
class Compared:
    """One model or table: rows in truth, rows found, and the first differences in words.

    `comparable` is False where nothing can be known, and `examples` says why: a table whose source cannot be listed, a model
    that has stood still while the log was folded.
    """

    name: str
    epoch: int
    expected: int
    found: int
    missing: int
    extra: int
    examples: tuple[str, ...]
    comparable: bool = True

    @property
    def equal(self) -> bool:
        return self.comparable and not self.missing and not self.extra

    @property
    def differs(self) -> bool:
        return self.comparable and not self.equal


def audit_results(
    reader: LogReader,
    plan: ProjectPlan,
    epochs: Mapping[str, int],
    rows: Callable[[str], Iterable[pa.Table]],
) -> Iterator[Compared]:
    """Compare each published model's rows in PostgreSQL, `rows(model)`, with its SQL over the log as of `epochs[model]`.

    Epochs and rows must come from one snapshot of the results database.
    """
    oldest = reader.floor
    for epoch in sorted(set(epochs.values())):
        names = [name for name in plan.models if epochs.get(name) == epoch]
        if epoch < oldest:
            yield from (_folded(name, epoch, oldest) for name in names)
            continue
        connection = truth(reader, plan, epoch, _with_inputs(plan, names))
        for name in names:
            yield _compare_model(connection, plan.models[name], epoch, rows(name))
        connection.close()


def truth(reader: LogReader, plan: ProjectPlan, epoch: int, models: Collection[str] = ()) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in which tables (as of `epoch`) and `models` (their original SQL) are relations.

    `models` holds what its members read, too. One that is halted need not be there: its SQL may fail at this epoch.
    """
    connection = reader.connect_duckdb(plan.tables, epoch)
    connection.execute("SET TimeZone = 'UTC'")
    for name in (name for name in plan.models if name in models):
        connection.execute(f"CREATE TEMP TABLE {quoted(name)} AS SELECT * FROM ({plan.models[name].sql_duckdb}\n)")
    return connection


def _folded(name: str, epoch: int, oldest: int) -> Compared:
    why = f"it stands at epoch {epoch}, and the log can be read from epoch {oldest} on: compare it once it goes on"
    return Compared(name, epoch, 0, 0, 0, 0, (why,), False)


def _with_inputs(plan: ProjectPlan, names: Collection[str]) -> set[str]:
    """These models and all that they read."""
    found = set(names)
    for name in reversed(list(plan.models)):  # from the last in topological order to the first: one pass reaches all
        if name in found:
            found.update(plan.models[name].depends_on)
    return found


def _compare_model(connection: duckdb.DuckDBPyConnection, model: ModelPlan, epoch: int, chunks: Iterable[pa.Table]) -> Compared:
    columns = ", ".join(f"CAST({quoted(c.name)} AS {c.type}) AS {quoted(c.name)}" for c in model.schema.columns)
    connection.execute(f'CREATE OR REPLACE TEMP VIEW "~truth" AS SELECT {columns} FROM {quoted(model.name)}')
    return _compare(connection, model.schema, epoch, chunks)


def _compare(connection: duckdb.DuckDBPyConnection, schema: TableSchema, epoch: int, chunks: Iterable[pa.Table]) -> Compared:
    """`"~truth"` holds what should be there; `chunks` are what is."""
    found = pa.concat_tables([schema.arrow.empty_table(), *(chunk.select(schema.names).cast(schema.arrow) for chunk in chunks)])
    connection.register("~found", found)
    only = {side: _except(connection, *pair) for side, pair in _SIDES.items()}
    examples = [f"{side}: {row}" for side, rows in only.items() for row in rows.slice(0, SHOWN).to_pylist()]
    ((expected,),) = connection.execute('SELECT COUNT(*) FROM "~truth"').fetchall()
    connection.unregister("~found")
    return Compared(schema.name, epoch, expected, len(found), len(only["missing"]), len(only["extra"]), tuple(examples))


_SIDES = {"missing": ("~truth", "~found"), "extra": ("~found", "~truth")}


def _except(connection: duckdb.DuckDBPyConnection, left: str, right: str) -> pa.Table:
    return connection.sql(f"SELECT * FROM {quoted(left)} EXCEPT ALL SELECT * FROM {quoted(right)}").to_arrow_table()


def audit_sources(reader: LogReader, plan: ProjectPlan, sources: Iterable[Source], epoch: int) -> Iterator[Compared]:
    """Compare each table as the log has it with what its source holds now. Meaningful while the source stands still."""
    connection = reader.connect_duckdb(plan.tables, epoch)
    for source in sources:
        listed = reads_anew(source)
        for name, schema in plan.tables.items():
            prefix, _, table = name.partition(".")
            if prefix == source.name:
                connection.execute(f'CREATE OR REPLACE TEMP VIEW "~truth" AS SELECT {_names(schema)} FROM {quoted(name)}')
                yield (
                    _compare(connection, schema, epoch, source.current(table)) if listed else _unlisted(connection, name, epoch)
                )
    connection.close()


def _unlisted(connection: duckdb.DuckDBPyConnection, name: str, epoch: int) -> Compared:
    """`"~truth"` is a table of a source that keeps nothing that is in the log."""
    ((rows,),) = connection.execute('SELECT COUNT(*) FROM "~truth"').fetchall()
    return Compared(name, epoch, rows, 0, 0, 0, ("its source cannot be listed: it keeps nothing that is in the log",), False)


def _names(schema: TableSchema) -> str:
    return ", ".join(quoted(name) for name in schema.names)
