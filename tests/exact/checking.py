"""One (project, history): after every batch what is live equals what the second engines compute from the tables."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.exact.engines import DuckTruth, Rows, difference, plain
from tests.exact.history import History, Truth
from tests.exact.pipe import Pipe
from tests.exact.tables import Row, TableSpec
from topline.changes import SourceBatch
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


@dataclass(frozen=True)
class Step:
    """A batch as sources hand it over, and what tables and published models hold after it."""

    batches: list[SourceBatch]
    tables: Mapping[str, Rows]
    models: Mapping[str, Rows]


@dataclass(frozen=True)
class Story:
    """A history with all that must be true in it: independent of the live engine, so that it can be told once."""

    plan: ProjectPlan
    steps: list[Step]
    kinds: Counter[str]


def recomputed(plan: ProjectPlan, tables: Mapping[str, TableSpec], history: History, again: Recomputed) -> Story:
    """WrongError where what DuckDB makes of the SQL differs from what `again`, another engine, makes of the tables' rows:
    some models, or all."""
    truth, duck, steps = Truth(tables), DuckTruth(plan), []
    for number, batch in enumerate(history):
        batches = truth.batches(batch)
        expected = duck.rows({name: table for name, table in truth.arrow().items() if name in plan.tables})
        rows = truth.rows()
        other = again(rows)
        _same(number, "DuckDB and the other engine differ", {name: expected[name] for name in other}, other)
        held = {name: Counter(tuple(plain(value) for value in row) for row in rows[name]) for name in plan.tables}
        steps.append(Step(batches, held, expected))
    duck.close()
    return Story(plan, steps, truth.kinds)


def live(story: Story) -> Done:
    """WrongError where live results, the replica or the tables differ after a batch from what they must be."""
    done = Done(pairs=sum(model.published for model in story.plan.models.values()), kinds=story.kinds)
    with Pipe(story.plan) as pipe:
        for number, step in enumerate(story.steps):
            applied = pipe.feed(step.batches)
            _same(number, "halted", {name: Counter([(why,)]) for name, why in applied.halted.items()}, {})
            _look(number, pipe, step)
            done.batches += 1
            done.rows += sum(rows.total() for rows in step.models.values())
    return done


def check(plan: ProjectPlan, tables: Mapping[str, TableSpec], history: History, again: Recomputed) -> Done:
    """Both."""
    return live(recomputed(plan, tables, history, again))


def _look(number: int, pipe: Pipe, step: Step) -> None:
    _same(number, "the tables differ", pipe.tables(), step.tables)
    _same(number, "live results differ from the SQL", pipe.rows(), step.models)
    _same(number, "what was published differs from the SQL", pipe.replica.rows(), step.models)
    counts = {name: pipe.dataflow.count(name) for name in step.models}
    assert counts == {name: rows.total() for name, rows in step.models.items()}, f"after batch {number}, counts differ"


def _same(number: int, what: str, found: Mapping[str, Rows], truth: Mapping[str, Rows]) -> None:
    names = dict.fromkeys([*found, *truth])
    wrong = {name: difference(found.get(name, Counter()), truth.get(name, Counter())) for name in names}
    if any(wrong.values()):
        raise WrongError(number, what, {name: said for name, said in wrong.items() if said})
