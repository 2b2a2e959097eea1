"""One (project, history): after every batch what is live equals what the second engines compute from the tables."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.exact.engines import DuckTruth, Rows, difference, plain
from tests.exact.history import History, Truth
from tests.exact.pipe import Pipe
from tests.exact.tables import Row, TableSpec
from topline.models.plan import ProjectPlan


class WrongError(AssertionError):
    """A batch after which something differs. `models`: in which."""

    def __init__(self, batch: int, what: str, models: Mapping[str, str]) -> None:
        super().__init__(f"after batch {batch}, {what}:\n" + "\n".join(f"{name}\n{said}" for name, said in models.items()))
        self.models = list(models)


@dataclass
class Done:
    """What was checked: batches, pairs of a published model with a history, and rows of models; kinds of events."""

    batches: int = 0
    pairs: int = 0
    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


Recomputed = Callable[[Mapping[str, Sequence[Row]]], Mapping[str, Rows]]


def check(plan: ProjectPlan, tables: Mapping[str, TableSpec], history: History, again: Recomputed) -> Done:
    """WrongError where live results, the replica or the tables differ from what DuckDB makes of the SQL, or that from what
    `again`, another engine, makes of the tables' rows: some models, or all."""
    truth, duck = Truth(tables), DuckTruth(plan)
    done = Done(pairs=sum(model.published for model in plan.models.values()))
    with Pipe(plan) as pipe:
        for number, batch in enumerate(history):
            applied = pipe.feed(truth.batches(batch))
            _same(number, "halted", {name: Counter([(why,)]) for name, why in applied.halted.items()}, {})
            expected = duck.rows({name: table for name, table in truth.arrow().items() if name in plan.tables})
            other = again(truth.rows())
            _same(number, "DuckDB and the other engine differ", {name: expected[name] for name in other}, other)
            look(number, pipe, truth, expected)
            done.batches += 1
            done.rows += sum(rows.total() for rows in expected.values())
    duck.close()
    done.kinds = truth.kinds
    return done


def look(number: int, pipe: Pipe, truth: Truth, expected: Mapping[str, Rows]) -> None:
    """The dataflow, the replica and the tables against what they must be."""
    held = {name: Counter(tuple(plain(v) for v in row) for row in truth.rows()[name]) for name in pipe.plan.tables}
    _same(number, "the tables differ", pipe.tables(), held)
    _same(number, "live results differ from the SQL", pipe.rows(), expected)
    _same(number, "what was published differs from the SQL", pipe.replica.rows(), expected)
    counts = {name: pipe.dataflow.count(name) for name in expected}
    assert counts == {name: rows.total() for name, rows in expected.items()}, f"after batch {number}, counts differ"


def _same(number: int, what: str, found: Mapping[str, Rows], truth: Mapping[str, Rows]) -> None:
    names = dict.fromkeys([*found, *truth])
    wrong = {name: difference(found.get(name, Counter()), truth.get(name, Counter())) for name in names}
    if any(wrong.values()):
        raise WrongError(number, what, {name: said for name, said in wrong.items() if said})
