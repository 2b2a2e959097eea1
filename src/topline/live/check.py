"""`topline check`: every fault of a project at once, before anything runs. Reads only."""

import socket
from collections.abc import Callable, Iterable

from topline.config import CONFIG_FILE, Project
from topline.errors import ToplineError
from topline.live.asking import running_engine
from topline.live.start import Databases, databases, load_plan
from topline.log import LogReader
from topline.log.database import FILE
from topline.models.plan import ProjectPlan
from topline.results import check_results
from topline.sources.base import Fault
from topline.sources.registry import build


def check_project(project: Project) -> list[Fault]:
    """State folder, models, each source (connection, privileges, columns), the results database, the API's port."""
    faults = [*_state_faults(project), *_port_faults(project)]
    with databases(project) as real:
        try:
            faults += _source_faults(project, load_plan(project), real)
        except ToplineError as error:
            faults.append(Fault("models", str(error)))
        return [*faults, *_result_faults(project, real)]


def _state_faults(project: Project) -> list[Fault]:
    def check() -> list[Fault]:
        if (project.state_dir / FILE).exists():
            LogReader.open(project.state_dir, project.config.project).close()
        return []

    return _try("state", check)


def _port_faults(project: Project) -> list[Fault]:
    """A running engine of ours holds the port itself."""
    host, port = project.config.api.host, project.config.api.port
    if port == 0 or running_engine(project.state_dir) is not None:
        return []
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            where = f"{project.root / CONFIG_FILE}:{project.lines['api.port']}" if "api.port" in project.lines else "api"
            return [Fault(where, f"{host} port {port}: {error.strerror}", "set api.port to another one; 0 takes a free one")]
    return []


def _source_faults(project: Project, plan: ProjectPlan, real: Databases) -> list[Fault]:
    try:
        sources = build(project, plan.tables, embedded=real.embedded)
    except ToplineError as error:
        return [Fault(CONFIG_FILE, line) for line in str(error).splitlines()]
    return [fault for source in sources for fault in _try(source.name, source.check)]


def _result_faults(project: Project, real: Databases) -> list[Fault]:
    def check() -> list[Fault]:
        found = check_results(real(project.config.results.dsn), project.config.results.schema_, _state_id(project))
        return [Fault("results", problem, remedy) for problem, remedy in found]

    return _try("results", check)


def _state_id(project: Project) -> str:
    """'' where there is no state yet, or none that can be read."""
    try:
        with LogReader.open(project.state_dir, project.config.project) as log:
            return log.state_id
    except ToplineError:
        return ""


def _try(where: str, check: Callable[[], Iterable[Fault]]) -> list[Fault]:
    try:
        return list(check())
    except ToplineError as error:
        return [Fault(where, str(error))]
