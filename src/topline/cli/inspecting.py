"""Shows what is: the status, the rows behind a result, the rejected sales."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
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
    with _results(loaded) as connection:
        table = sql.Identifier(loaded.config.results.schema_, _REJECTED)
        query = sql.SQL("SELECT * FROM {} ORDER BY 1, 2, 3 LIMIT %s").format(table)
        rows: list[dict[str, Any]] = connection.execute(query, (limit,)).fetchall()
    if as_json:
        print_json(rows)
    elif rows:
        print_table("", list(rows[0]), [list(row.values()) for row in rows])
    else:
        out.print("none")


@contextmanager
def _results(project: Project) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with databases(project) as real:
        try:
            with psycopg.connect(real(project.config.results.dsn), row_factory=dict_row, connect_timeout=10) as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise WorkError(f"no {_REJECTED} are published: `topline run` publishes the model of that name") from None
        except psycopg.Error as error:
            raise WorkError(f"the results database does not answer as it should: {str(error).strip()}") from None
