"""Looks at a project before it runs: its faults, and its models on their examples."""

from pathlib import Path

from topline.cli.opening import open_project
from topline.cli.output import out, print_json
from topline.errors import ConfigError, ToplineError
from topline.live.check import check_project
from topline.live.start import load_plan
from topline.live.unit_tests import Outcome, run_unit_tests
from topline.models import unit_tests
from topline.sources.base import Fault


def show_faults(folder: Path, overrides: list[str] | None, *, as_json: bool) -> int:
    """The exit code: 0, or 2 where there is a fault."""
    faults = _faults(folder, overrides)
    if as_json:
        print_json([{"where": f.where, "problem": f.problem, "remedy": f.remedy} for f in faults])
        return 2 if faults else 0
    for fault in faults:
        out.print(f"{fault.where}: {fault.problem}" + (f"\n    {fault.remedy}" if fault.remedy else ""), markup=False)
    if not faults:
        out.print("no faults found")
    return 2 if faults else 0


def _faults(folder: Path, overrides: list[str] | None) -> list[Fault]:
    try:
        return check_project(open_project(folder, overrides))
    except ConfigError as error:
        return [Fault("configuration", line) for line in str(error).splitlines()]
    except ToplineError as error:
        return [Fault("project", str(error))]


def show_examples(folder: Path, model: str | None, *, as_json: bool) -> int:
    """The exit code: 0, or 1 where an example fails. `model`: only its examples."""
    loaded = open_project(folder)
    plan = load_plan(loaded)
    tests = [test for test in unit_tests(loaded.models_dir, plan) if model in (None, test.model)]
    outcomes = list(run_unit_tests(plan, tests))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if as_json:
        print_json([{"test": o.test, "way": o.way, "missing": o.missing, "unexpected": o.unexpected} for o in outcomes])
    else:
        _print_failed(failed)
        out.print(f"{len(tests)} examples, {len(outcomes)} runs: {len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def _print_failed(failed: list[Outcome]) -> None:
    for outcome in failed:
        out.print(f"FAILED {outcome.model}: {outcome.test}, {outcome.way}", markup=False)
        for sign, rows in (("  missing   ", outcome.missing), ("  unexpected", outcome.unexpected)):
            for row in rows:
                out.print(f"{sign} {row}", markup=False)
