"""Do the tests notice when the live engine is wrong? `python -m tests.mutation [--mutants N] [--seed N] [--only NAME ...]`

cosmic-ray changes one place of `src/topline/live` at a time (an operator, a number, a condition ...) in a copy of the
project, and runs the tests that stand for that module. A mutant that no test notices has survived, and is printed.

Places are drawn evenly, and of each place one change. Left out are those that no run could miss (annotations: the module would
not load) or that change nothing of a result (texts of errors, decorators that compile or cache).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutation.session import Mutant, choose, results

ROOT = Path(__file__).parents[2]
TOOL = "cosmic-ray==8.7.0"


def _unit(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/unit/live/test_live_{name}.py" for name in names)


# The dataflow, then what turns around it, the quickest first. A test with a real server takes longer than all of these.
FOLD = (*_unit("structures", "scalars", "halting", "parallel", "cost", "dataflow"), "tests/exact")
LOOP = (
    "tests/unit/test_admission.py",
    *_unit("marks", "holds", "switch", "asking", "publication", "checkpoint", "check", "status", "unit_tests", "why", "audit"),
    *_unit("start", "attendant", "commands", "loop", "loop_parts"),
)
# Modules of `live` that turn the loop around the dataflow; all others are the dataflow.
AROUND = {"admission", "asking", "attendant", "audit", "check", "checkpoint", "commands", "holds", "loop", "marks"}
AROUND |= {"publication", "start", "status", "switch", "unit_tests", "why"}
SECONDS = 400  # a mutant that runs for longer than its tests ever do is noticed by that


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy = Path(name)
        _copy(copy)
        done: list[Mutant] = []
        for tests, modules in _groups(arguments.only).items():
            done += _run(copy, tests, modules, arguments)
    return _report(done)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300, help="how many, over both groups (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice (default 1)")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="modules of live/, without .py")
    return parser.parse_args()


def _copy(to: Path) -> None:
    """What is committed, so that a run is of one state of the project while work goes on."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=to, input=archive.stdout, check=True)


def _groups(only: list[str]) -> dict[tuple[str, ...], list[Path]]:
    groups: dict[tuple[str, ...], list[Path]] = {}
    for module in sorted((ROOT / "src/topline/live").glob("**/*.py")):
        if module.stem != "__init__" and (not only or module.stem in only):
            groups.setdefault(LOOP if module.stem in AROUND else FOLD, []).append(module.relative_to(ROOT))
    return groups


def _run(copy: Path, tests: tuple[str, ...], modules: list[Path], arguments: argparse.Namespace) -> list[Mutant]:
    settings, session = copy / "mutants.toml", copy / f"{tests[0].replace('/', '-')}.sqlite"
    settings.write_text(_settings([test for test in tests if (copy / test).exists()], modules))
    _tool(copy, "baseline", settings.name)  # tests that fail by themselves would notice every mutant
    _tool(copy, "init", settings.name, session.name)
    share = sum(len((ROOT / module).read_text().splitlines()) for module in modules)
    whole = sum(len(path.read_text().splitlines()) for path in (ROOT / "src/topline/live").glob("**/*.py"))
    wanted = arguments.mutants if arguments.only else round(arguments.mutants * share / whole)
    chosen = choose(session, copy, wanted, arguments.seed)
    print(f"{', '.join(tests)}: {chosen} mutants of {len(modules)} modules", flush=True)
    _tool(copy, "exec", settings.name, session.name)
    return results(session)


def _settings(tests: list[str], modules: list[Path]) -> str:
    paths = ", ".join(f'"{module}"' for module in modules)
    return (
        f"[cosmic-ray]\nmodule-path = [{paths}]\ntimeout = {SECONDS}.0\nexcluded-modules = []\n"
        f"test-command = \"{sys.executable} -m pytest -x -q -m 'not long' -p no:cacheprovider {' '.join(tests)}\"\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )


def _tool(copy: Path, *arguments: str) -> None:
    """The copy's modules are found before the installed ones; what numba keeps of a mutant is the copy's too."""
    env = {**os.environ, "PYTHONPATH": str(copy / "src"), "NUMBA_CACHE_DIR": str(copy / "numba")}
    uvx = str(Path(sys.executable).parent / "uvx")
    subprocess.run([uvx, "--quiet", "--from", TOOL, "cosmic-ray", *arguments], cwd=copy, env=env, check=True)


def _report(mutants: list[Mutant]) -> int:
    by_module: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        by_module.setdefault(mutant.module, []).append(mutant)
    for module, those in sorted(by_module.items()):
        print(f"{module:<40} {sum(m.killed for m in those):>4} of {len(those):>4} noticed")
    for mutant in mutants:
        if not mutant.killed:
            print(f"\nsurvived: {mutant.module}:{mutant.line} {mutant.operator}\n{mutant.diff}")
    killed = sum(mutant.killed for mutant in mutants)
    print(f"{killed} of {len(mutants)} mutants noticed ({100 * killed / max(len(mutants), 1):.1f} %)")
    return 0 if mutants and killed >= 0.9 * len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
