"""A session of cosmic-ray (an SQLite file): which of its mutants are run, and what came of them."""

import ast
import random
import sqlite3
from pathlib import Path
from typing import NamedTuple

_SPECS = """
    SELECT job_id, module_path, operator_name, start_pos_row, start_pos_col FROM mutation_specs
    ORDER BY module_path, start_pos_row, operator_name, occurrence"""
_DONE = """
    SELECT s.module_path, s.operator_name, s.start_pos_row, r.test_outcome, r.worker_outcome, r.diff
    FROM mutation_specs s JOIN work_results r USING (job_id) ORDER BY s.module_path, s.start_pos_row"""

Place = tuple[str, int, int]


class Mutant(NamedTuple):
    module: str
    line: int
    operator: str
    killed: bool
    diff: str


def choose(session: Path, root: Path, wanted: int, seed: int) -> int:
    """Leave `wanted` mutants in the session, each at a place of its own; gives how many are left."""
    chance = random.Random(seed)
    with sqlite3.connect(session) as connection:
        specs = connection.execute(_SPECS).fetchall()
        passed_over = {module: _passed_over(root / module) for module in {spec[1] for spec in specs}}
        places: dict[Place, list[str]] = {}
        for job, module, operator, row, column in specs:
            if (row, column) not in passed_over[module] and not operator.endswith("Decorator"):
                places.setdefault((module, row, column), []).append(job)
        kept = {chance.choice(places[place]) for place in chance.sample(sorted(places), min(wanted, len(places)))}
        gone = [(spec[0],) for spec in specs if spec[0] not in kept]
        for table in ("work_items", "mutation_specs"):
            connection.executemany(f"DELETE FROM {table} WHERE job_id = ?", gone)
    return len(kept)


def results(session: Path) -> list[Mutant]:
    with sqlite3.connect(session) as connection:
        return [
            Mutant(module, row, operator, worker != "NORMAL" or test != "SURVIVED", diff or "")
            for module, operator, row, test, worker, diff in connection.execute(_DONE)
        ]


def _passed_over(path: Path) -> set[tuple[int, int]]:
    """Positions (line, column) within annotations, decorators of classes (whether they have slots, are frozen), and what is
    raised."""
    tree = ast.parse(path.read_text())
    spans = [node for outer in ast.walk(tree) for node in _outside(outer) if isinstance(node, ast.expr)]
    positions: set[tuple[int, int]] = set()
    for span in spans:
        for node in ast.walk(span):
            if isinstance(node, ast.expr):
                positions |= _covered(node)
    return positions


def _outside(node: ast.AST) -> list[ast.AST | None]:
    if isinstance(node, ast.FunctionDef):
        arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
        return [node.returns, *(argument.annotation for argument in arguments)]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list]
    if isinstance(node, ast.AnnAssign):
        return [node.annotation]
    return [node.exc] if isinstance(node, ast.Raise) else []


def _covered(node: ast.expr) -> set[tuple[int, int]]:
    last = node.end_lineno or node.lineno
    columns = range(node.col_offset, (node.end_col_offset or 0) + 1) if last == node.lineno else range(200)
    return {(line, column) for line in range(node.lineno, last + 1) for column in columns}
