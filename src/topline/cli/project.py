"""Commands on a project's files: init, check, test, explain, version."""

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from topline import __version__
from topline.cli.options import HERE, AsJson, Overrides, ProjectDir, open_project
from topline.cli.output import out, print_json, print_table
from topline.errors import ConfigError, ToplineError, UsageError, WorkError
from topline.live.check import check_project
from topline.live.start import load_plan
from topline.live.unit_tests import run_unit_tests
from topline.models import explain, render_explanation, unit_tests
from topline.sources.base import Fault


def register(app: typer.Typer) -> None:
    for name, command in _COMMANDS.items():
        app.command(name=name)(command)


def shipped_project() -> Path:
    """The folder of the shipped project: inside the wheel, or beside `src` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_sales", package.parents[1] / "sales"):
        if (folder / "topline.yml").is_file():
            return folder
    raise WorkError(f"the shipped project is missing below {package}: install topline again")


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
) -> None:
    """Copy the shipped project to DIR: models, macros, and a commented topline.yml.

    Example: `topline init shop && cd shop && topline check`
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not empty: name a new folder")
    ignore = shutil.ignore_patterns(".topline", "target", "logs", "dbt_packages", "__pycache__", ".env")
    try:
        shutil.copytree(shipped_project(), folder, ignore=ignore, dirs_exist_ok=True)
        (folder / "inbox").mkdir(exist_ok=True)
    except OSError as error:
        raise WorkError(f"cannot write {error.filename}: {error.strerror}") from None
    out.print(f"made {folder}/: its settings are in topline.yml, its models below models/live/", markup=False)
    out.print(f"next: cd {folder} && topline check", markup=False)


def check(project: ProjectDir = HERE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Find every fault before running: configuration, models, connections, privileges.

    Example: `topline check --json`
    """
    faults = _faults(project, overrides)
    if as_json:
        print_json([{"where": f.where, "problem": f.problem, "remedy": f.remedy} for f in faults])
    for fault in [] if as_json else faults:
        out.print(f"{fault.where}: {fault.problem}" + (f"\n    {fault.remedy}" if fault.remedy else ""), markup=False)
    if faults:
        raise typer.Exit(2)
    if not as_json:
        out.print("no faults found")


def _faults(folder: Path, overrides: list[str] | None) -> list[Fault]:
    try:
        return check_project(open_project(folder, overrides))
    except ConfigError as error:
        return [Fault("configuration", line) for line in str(error).splitlines()]
    except ToplineError as error:
        return [Fault("project", str(error))]


def run_examples(
    project: ProjectDir = HERE,
    model: Annotated[str | None, typer.Option(help="Only the examples of this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the models on their examples (dbt unit tests): in one batch, row by row, shuffled, redelivered.

    Example: `topline test --model top_sales_by_city`
    """
    loaded = open_project(project)
    plan = load_plan(loaded)
    tests = [t for t in unit_tests(loaded.models_dir, plan) if model in (None, t.model)]
    outcomes = list(run_unit_tests(plan, tests))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if as_json:
        print_json([{"test": o.test, "way": o.way, "missing": o.missing, "unexpected": o.unexpected} for o in outcomes])
    else:
        for outcome in failed:
            out.print(f"FAILED {outcome.model}: {outcome.test}, {outcome.way}", markup=False)
            for sign, rows in (("  missing   ", outcome.missing), ("  unexpected", outcome.unexpected)):
                for row in rows:
                    out.print(f"{sign} {row}", markup=False)
        out.print(f"{len(tests)} examples, {len(outcomes)} runs: {len(outcomes) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def explain_model(
    model: Annotated[str | None, typer.Argument(help="A model's name; without it, all are listed.")] = None,
    project: ProjectDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Show how a model is kept: its plan, key, column lineage, and the SQL for each engine.

    Example: `topline explain top_salesmen`
    """
    plan = load_plan(open_project(project))
    if model is None:
        rows = [(m.name, ", ".join(m.schema.key), "yes" if m.published else "", m.description) for m in plan.models.values()]
        if as_json:
            print_json([dict(zip(("model", "key", "published", "description"), row, strict=True)) for row in rows])
        else:
            print_table("", ("model", "key", "published", "description"), rows)
        return
    if model not in plan.models:
        raise UsageError(f"no model is named {model!r}; there are {', '.join(plan.models)}")
    explanation = explain(plan, model)
    if as_json:
        print_json(explanation)
    else:
        out.print(render_explanation(explanation), markup=False)


def version(as_json: AsJson = False) -> None:
    """Print the version, and what it runs on."""
    import duckdb
    import pyarrow

    versions = {
        "topline": __version__,
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "pyarrow": pyarrow.__version__,
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    if as_json:
        print_json(versions)
    else:
        out.print("\n".join(f"{name} {value}" for name, value in versions.items()), markup=False)


_COMMANDS: dict[str, Callable[..., None]] = {
    "init": init,
    "check": check,
    "test": run_examples,
    "explain": explain_model,
    "version": version,
}
