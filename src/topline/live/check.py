"""`topline check`: every fault of a project at once, before anything runs. Reads only."""

from collections.abc import Callable, Iterable

from topline.config import CONFIG_FILE, Project
from topline.errors import ToplineError
from topline.live.start import Databases, databases, load_plan
from topline.models.plan import ProjectPlan
from topline.results import check_results
from topline.sources.base import Fault
from topline.sources.registry import build


def check_project(project: Project) -> list[Fault]:
    """Models, each source (connection, privileges, columns), and the results database."""
    try:
        plan = load_plan(project)
    except ToplineError as error:
        return [Fault("models", str(error))]
    with databases(project) as real:
        return [*_source_faults(project, plan, real), *_result_faults(project, real)]


def _source_faults(project: Project, plan: ProjectPlan, real: Databases) -> list[Fault]:
    try:
        sources = build(project, plan.tables, embedded=real.embedded)
    except ToplineError as error:
        return [Fault(CONFIG_FILE, line) for line in str(error).splitlines()]
    return [fault for source in sources for fault in _try(source.name, source.check)]


def _result_faults(project: Project, real: Databases) -> list[Fault]:
    def check() -> list[Fault]:
        found = check_results(real(project.config.results.dsn), project.config.results.schema_)
        return [Fault("results", problem, remedy) for problem, remedy in found]

    return _try("results", check)


def _try(where: str, check: Callable[[], Iterable[Fault]]) -> list[Fault]:
    try:
        return list(check())
    except ToplineError as error:
        return [Fault(where, str(error))]
