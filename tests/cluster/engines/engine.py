"""An engine under test: it reads a project's topics to their end, and what it published is read back."""

from collections import Counter
from typing import Any, Protocol

from tests.exact.engines import Rows, plain_rows
from tests.project import TestProject
from topline.models.plan import ProjectPlan
from topline.results import Snapshot


class Engine(Protocol):
    """`drain`: all that is in the topics now is published when it returns."""

    def drain(self) -> None: ...


class Spark:
    """Each drain is one run, in this process; `report` is what the last one said."""

    def __init__(self, project: TestProject) -> None:
        self._project = project
        self.report: Any = None

    def drain(self, *arguments: str, expect: int = 0) -> None:
        self.report = self._project.json("run", "--engine", "spark", *arguments, expect=expect)

    @property
    def changed(self) -> dict[str, int]:
        return {one["model"]: one["changed"] for one in self.report["models"]}


def published(dsn: str, schema: str, plan: ProjectPlan) -> dict[str, Rows]:
    """Published model -> its rows."""
    models = {name: model.schema for name, model in plan.models.items() if model.published}
    with Snapshot(dsn, schema, models) as snapshot:
        return {name: Counter(plain_rows(snapshot.read(name))) for name in models}
