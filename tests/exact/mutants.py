"""Faults made by hand: the text of one function, changed as a tired person might, put in its place while a test looks."""

import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numba
import pytest


class Mutant(NamedTuple):
    """`old`, which stands once in the function (`Class.method` or a name) of topline.`module`, becomes `new`.

    `seed`: where it was noticed, to be tried first.
    """

    what: str
    module: str
    function: str
    old: str
    new: str
    seed: int = 0


MUTANTS = [
    Mutant(
        "a forgotten retraction: an updated row is not taken out",
        "live.tables", "Table._write", "take(old, np.flatnonzero(changed))", "take(old, np.flatnonzero(~upsert[held]))",
    ),
    Mutant("the first change of a key in a batch wins", "live.tables", "Table.apply", "groups.last()", "groups.first"),
    Mutant("a file that goes takes others' rows along", "live.tables", "Table._swept", "== owner", ">= 0"),
    Mutant(
        "a value left out is the one before, whatever its key",
        "live.tables", "Table._fill_column", "own[outside] = True", "own[:1] = True",
    ),
    Mutant(
        "NULL is counted",
        "live.measures", "Count.fold", "np.where(values == NULL, 0, touched.weights)", "touched.weights", seed=1,
    ),
    Mutant("a sum forgets its carry", "live.measures", "Sum.fold", " + ((low + (old & 0xFFFFFFFF)) >> 32)", "", seed=1),
    Mutant(
        "no values sum up to 0",
        "live.measures", "Sum.result", "np.where(state[1] == 0, NULL, state[0])", "state[0]", seed=4,
    ),
    Mutant(
        "a maximum that left stays",
        "live.measures", "Extreme.fold",
        "np.full((1, len(touched.rows)), NULL)", "store.get(place, touched.rows)[None]", seed=9,
    ),
    Mutant(
        "an off-by-one: a value is distinct once it came twice",
        "live.measures", "CountDistinct._turn", "== 0", "<= 1", seed=2,
    ),
    Mutant("a group stays when its last row went", "live.aggregate", "AggregateOperator.step", "!= 0", ">= 0"),
    Mutant(
        "what a group said before is not taken back",
        "live.aggregate", "_changed",
        "Delta.of(take(lost, np.flatnonzero(out))", "Delta.of(take(lost, np.flatnonzero(out[:0]))",
    ),
    Mutant("NULL joins NULL", "live.join", "_has_key", "present &= delta.columns[place] != NULL", "continue", seed=2),
    Mutant(
        "a left row stays alone beside its match",
        "live.join", "JoinOperator._update_right", ", self._turned(keys, ~before & after, -1)]", "]", seed=1,
    ),
    Mutant(
        "a wrong sign: a match that goes, comes",
        "live.join", "JoinOperator._match_right", "weights * right", "abs(weights) * -right",
    ),
    Mutant(
        "a lost tie-break: the last of the order counts backwards",
        "live.topn", "TopNOperator.__init__", "order.descending,", "order.descending != (place == ordered[-1] != ordered[0]),",
    ),
    Mutant(
        "an off-by-one: the last place is empty",
        "live.topn", "TopNOperator._first", "(numbers, self._limit)", "(numbers, max(1, self._limit - 1))", seed=1,
    ),
    Mutant("equal rows count once", "live.delta", "Delta.settle", "groups.sums(self.weights)", "self.weights[groups.first]"),
    Mutant("a condition that is NULL holds", "live.select", "SelectOperator.step", "[0] == 1", "[0] != 0"),
    Mutant(
        "a key that only lost is not published",
        "live.published", "Published.fold", "self._touched(columns)", "self._touched(fresh)",
    ),
    Mutant("what was sent again is applied again", "live.admission", "_fresh", "(part.hi > hi)", "(part.hi >= 0)"),
    Mutant("only the last weight of a group counts", "live.kernels.groups", "sums", "+= values[row]", "= values[row]"),
    Mutant(
        "an ordered index keeps the last row of a block that lost one",
        "live.kernels.ordered", "merge", "fill[mine] = now", "fill[mine] = max(now, stored)",
    ),
    Mutant("a group's rows begin one too late", "live.kernels.ordered", "first", "left = limit", "left, row = limit, row + 1"),
]  # fmt: skip


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """The engine with this fault. An AssertionError where the text no longer stands in the function: change the mutant."""
    module = import_module(f"topline.{mutant.module}")
    owner: Any = module
    *outer, name = mutant.function.split(".")
    for part in outer:
        owner = getattr(owner, part)
    right = getattr(owner, name)
    wrong = _changed(right, mutant, {**vars(module), "kernel": _compiled_anew, "_owner": owner})
    with pytest.MonkeyPatch.context() as patch:
        for holder in [owner, *_importers(name, right)]:
            patch.setattr(holder, name, wrong)
        yield


def _changed(function: Any, mutant: Mutant, names: dict[str, Any]) -> Any:
    text = textwrap.dedent(inspect.getsource(getattr(function, "py_func", function)))
    assert text.count(mutant.old) == 1, f"{mutant.old!r} does not stand once in {mutant.function}: give the mutant anew"
    text = text.replace(mutant.old, mutant.new).replace("super()", "super(_owner, self)")
    exec(compile(text, mutant.what, "exec"), names)
    return names[mutant.function.rpartition(".")[2]]


def _compiled_anew(signature: str) -> Any:
    """As `kernel`, but never kept on disk."""
    return numba.njit(signature, nogil=True)


def _importers(name: str, function: Any) -> list[Any]:
    """Modules that have the function by its name."""
    ours = [module for key, module in sys.modules.items() if key.startswith("topline.live")]
    return [module for module in ours if vars(module).get(name) is function]
