"""Shows what is: the status, the rows behind a result, the rejected sales."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from topline.cli.opening import open_project
from topline.cli.output import counted, out, print_json, print_pairs, print_table
from topline.config import Project
from topline.errors import UsageError, WorkError
from topline.live.audit import truth
from topline.live.start import databases, load_plan
from topline.live.status import collect_status
from topline.live.why import NULL, explain_key, locate, trace
from topline.log import LogReader
from topline.schema import TableSchema, Type

_REJECTED = "rejected_sales"


def show_status(folder: Path, *, as_json: bool) -> int:
    """The exit code: 1 where the results database does not answer; what is known without it is shown all the same."""
    found = collect_status(open_project(folder))
    if as_json:
        print_json(asdict(found))
    else:
        print_pairs({name: "-" if value is None else value for name, value in found.summary.items()})
        if found.sources:
            out.print()
            print_table("", ("source", "kind", "state", "phase", "newest change", "detail"), found.source_rows())
        if found.models:
            out.print()
            print_table("", ("model", "epoch", "published at", "note"), found.model_rows())
    return 1 if "results" in found.summary else 0


def show_why(folder: Path, model: str, key: list[str], *, as_json: bool) -> int:
    """The exit code: 1 where there is no such row. UsageError for a model or a key that cannot be."""
    loaded = open_project(folder)
    plan = load_plan(loaded)
    if model not in plan.models:
        raise UsageError(f"no model is named {model!r}; there are {', '.join(plan.models)}")
    wanted = explain_key(plan.models[model].schema, key)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log, log.pin():
        connection = truth(log, plan, log.complete_epoch)
        found, contributions = trace(connection, plan, model, wanted)
        rows = {part.table: locate(log, plan, part, _kind(loaded, part.table)) for part in contributions}
    results = found.to_pylist()
    if as_json:
        print_json({"result": results, "rows": rows})
    elif results:
        _print_why(results, rows)
    else:
        asked = ", ".join(f"{name}={NULL if value is None else value}" for name, value in wanted.items())
        out.print(f"there is no such row in {model}: {asked}", markup=False)
    return 0 if results else 1


def _print_why(results: list[dict[str, Any]], rows: dict[str, list[dict[str, Any]]]) -> None:
    for result in results:
        print_pairs({name: "NULL" if value is None else value for name, value in result.items()})
    for table, located in rows.items():
        if located:
            out.print()
            print_table(f"{table}: {counted(len(located), 'row')}", list(located[0]), [list(row.values()) for row in located])


def _kind(project: Project, table: str) -> str:
    return str(project.config.sources.get(table.partition(".")[0], {}).get("kind", ""))


def show_rejected(folder: Path, limit: int, *, as_json: bool) -> None:
    loaded = open_project(folder)
    key = [sql.SQL(place) for place in ("1", "2", "3")]
    _print_rows(_published(loaded, _REJECTED, sql.SQL(""), key, limit), as_json=as_json)


def show_rows(folder: Path, model: str, day: date | None, limit: int, *, as_json: bool) -> None:
    """A published model's rows: of one day or of all, the newest day first, then by the greatest amount, then by key."""
    loaded = open_project(folder)
    published = {name: one.schema for name, one in load_plan(loaded).models.items() if one.published}
    if model not in published:
        raise UsageError(f"no published model is named {model!r}; there are {', '.join(published)}")
    schema = published[model]
    if day is not None and "date" not in schema.names:
        raise UsageError(f"{model} has no column `date`; it has {', '.join(schema.names)}")
    where = sql.SQL("" if day is None else "WHERE date = {}").format(sql.Literal(day))
    rows = _published(loaded, model, where, list(_order(schema)), limit)
    _print_rows(rows, as_json=as_json)


def _order(schema: TableSchema) -> Iterator[sql.Composable]:
    amounts = [column.name for column in schema.columns if column.type is Type.DECIMAL][:1]
    falling = [name for name in ("date", *amounts) if name in schema.names]
    yield from (sql.SQL("{} DESC").format(sql.Identifier(name)) for name in falling)
    yield from (sql.Identifier(name) for name in schema.key if name not in falling)


def _published(
    project: Project, model: str, where: sql.Composable, order: Sequence[sql.Composable], limit: int
) -> list[dict[str, Any]]:
    with _results(project, model) as connection:
        table = sql.Identifier(project.config.results.schema_, model)
        query = sql.SQL("SELECT * FROM {} {} ORDER BY {} LIMIT {}")
        return connection.execute(query.format(table, where, sql.SQL(", ").join(order), sql.Literal(limit))).fetchall()


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
    elif rows:
        print_table("", list(rows[0]), [list(row.values()) for row in rows])
    else:
        out.print("none")


@contextmanager
def _results(project: Project, model: str) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with databases(project) as real:
        try:
            with psycopg.connect(real(project.config.results.dsn), row_factory=dict_row, connect_timeout=10) as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise WorkError(f"{model} is not published yet: `topline run` publishes it") from None
        except psycopg.Error as error:
            raise WorkError(f"the results database does not answer as it should: {str(error).strip()}") from None
