"""A seed's whole run: its project, its histories, each checked after every batch; what fails is told with how to replay it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from tests.exact.checking import Done, Story, WrongError, check, live, recomputed
from tests.exact.engines import LiteTruth
from tests.exact.history import Histories, History
from tests.exact.models import Project, project
from tests.exact.shrink import shrunk
from tests.exact.tables import TableSpec
from topline.models.plan import ProjectPlan

HISTORIES, BATCHES = 2, 5  # of a seed; one history has a batch less, so that lengths differ


@dataclass
class Totals:
    histories: int = 0
    batches: int = 0
    pairs: int = 0
    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, done: Done) -> None:
        self.histories += 1
        self.batches += done.batches
        self.pairs += done.pairs
        self.rows += done.rows
        self.kinds += done.kinds


class FailedError(AssertionError):
    """A history that failed, as it was drawn. `shrink` makes it small."""

    def __init__(self, seed: int, made: Project, history: History, error: BaseException) -> None:
        super().__init__(f"replay: make soak SEED={seed} N=1\n{type(error).__name__}: {error}")
        self._made, self._history, self._error = made, history, error

    def shrink(self, tries: int) -> str:
        """The models that fail and the history, in words."""
        models = self._error.models if isinstance(self._error, WrongError) else [m.name for m in self._made.models]
        few = self._made.only(models) if set(models) <= {m.name for m in self._made.models} else self._made
        plan = few.plan()
        few = few if _fails(few, plan, self._made.tables, self._history, self._error) else self._made
        plan = few.plan()
        small = shrunk(self._history, lambda h: _fails(few, plan, self._made.tables, h, self._error), tries)
        sql = "\n".join(f"-- {model.name}.sql\n{model.sql}" for model in few.models)
        story = "\n".join(f"  batch {n}: {delivery}" for n, batch in enumerate(small) for delivery in batch)
        return f"{sql}\n{story}\n{_said(few, plan, self._made.tables, small)}"


def _fails(made: Project, plan: ProjectPlan, tables: Mapping[str, TableSpec], history: History, error: BaseException) -> bool:
    try:
        check(plan, tables, history, _lite(made).rows)
    except Exception as found:  # noqa: BLE001 - whatever it was, it is to be the same
        return type(found) is type(error)
    return False


def _said(made: Project, plan: ProjectPlan, tables: Mapping[str, TableSpec], history: History) -> str:
    try:
        check(plan, tables, history, _lite(made).rows)
    except Exception as found:  # noqa: BLE001 - it is only told
        return f"{type(found).__name__}: {found}"
    return "it does not fail again"


def _lite(made: Project) -> LiteTruth:
    return LiteTruth(made, {name: spec.schema for name, spec in made.tables.items()})


def histories_of(seed: int, made: Project) -> list[History]:
    return [Histories(Random(f"{seed} {n}"), made.tables).history(BATCHES - n % 2) for n in range(HISTORIES)]


@lru_cache(maxsize=24)
def told(seed: int) -> Mapping[int, Story]:
    """The stories of this seed's histories, by their number. Told once, they may be lived through by many an engine."""
    made = project(seed)
    plan = made.plan()
    stories = {}
    for number, history in enumerate(histories_of(seed, made)):
        try:
            stories[number] = recomputed(plan, made.tables, history, _lite(made).rows)
        except Exception as error:
            raise FailedError(seed, made, history, error) from error
    return stories


def live_through(seed: int, totals: Totals) -> None:
    """FailedError where a history of this seed does not end exact at every batch."""
    for number, story in told(seed).items():
        try:
            totals.add(live(story))
        except Exception as error:
            made = project(seed)
            raise FailedError(seed, made, histories_of(seed, made)[number], error) from error
