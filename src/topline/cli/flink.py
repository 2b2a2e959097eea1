"""Makes, shows and stops the project's Flink job."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from topline.cli.opening import open_project
from topline.cli.output import out, print_json, print_table
from topline.cluster.flink.deployment import Deployment, Status
from topline.cluster.flink.jobs import Jobs
from topline.cluster.flink.settings import flink_settings
from topline.cluster.flink.work import Work
from topline.cluster.topics import topics_of
from topline.config import Project
from topline.errors import ConfigError, WorkError
from topline.kafka.settings import kafka_settings
from topline.live.start import EMBEDDED, databases, load_plan
from topline.sources.registry import build

_WAYS = {
    "nothing to do": "the job runs already as the project says",
    "restored": "the job goes on from its savepoint",
    "rebuilt": "the job reads the topics anew, into tables beside those that are shown",
}


def show_script(folder: Path, *, as_json: bool) -> None:
    with _work(folder) as work:
        script = work.script("GROUP", secrets=False)
    if as_json:
        print_json({"settings": dict(script.settings), "tables": list(script.tables), "job": script.job})
    else:
        out.print(script.shown(), markup=False, highlight=False, soft_wrap=True, end="")


def deploy_job(folder: Path, *, patience: float | None, as_json: bool, take_over: bool = False, anew: bool = False) -> None:
    """`patience`: seconds to wait for the job to catch up; None: not at all. `anew`: all topics are read again."""
    with _deployment(folder) as deployment:
        way = deployment.deploy(take_over=take_over, anew=anew)
        if not as_json:
            out.print(_WAYS[way])
        found = deployment.wait(patience, take_over=take_over) if patience is not None else None
    if as_json:
        print_json({"way": way, **(_fields(found) if found else {})})
    elif found is not None:
        _show(found)


def show_job(folder: Path, *, take_over: bool, as_json: bool) -> None:
    """WorkError where no job runs."""
    with _deployment(folder) as deployment:
        found = deployment.status(take_over=take_over)
    if as_json:
        print_json(_fields(found))
    else:
        _show(found)
    if found.job is None or (found.checkpoint is None and found.why):
        raise WorkError(f"no job runs: {found.why or '`topline flink deploy` starts it'}")


def stop_job(folder: Path, *, as_json: bool) -> None:
    with _deployment(folder) as deployment:
        path = deployment.stop()
    if as_json:
        print_json({"savepoint": path or None})
    else:
        out.print(f"stopped; its savepoint: {path}" if path else "no job runs", markup=False)


@contextmanager
def _work(folder: Path) -> Iterator[Work]:
    """ConfigError where the project is not one for Flink."""
    project = open_project(folder)
    settings, cluster = flink_settings(project), kafka_settings(project)
    plan = load_plan(project)
    with databases(project) as real:
        sources = build(project, plan.tables, real.embedded)
        topics = topics_of("Flink", sources, plan.tables)
        yield Work(project.root, plan, topics, settings, cluster, (_results(project), project.config.results.schema_))


def _results(project: Project) -> str:
    dsn = project.config.results.dsn
    if dsn.startswith(EMBEDDED):
        raise ConfigError(f"results.dsn is {dsn}, which runs only while a command does: Flink needs a PostgreSQL that stays")
    return project.secret(dsn)


@contextmanager
def _deployment(folder: Path) -> Iterator[Deployment]:
    with _work(folder) as work, closing(Jobs(work.settings.cluster, work.root, work.timeout)) as jobs:
        yield Deployment(work, jobs)


def _show(found: Status) -> None:
    job, checkpoint = found.job, found.checkpoint
    out.print(f"job: {f'{job.name} {job.id} {job.state}' if job else 'none'}", markup=False)
    if checkpoint:
        out.print(f"checkpoint {checkpoint.number}, begun {checkpoint.began.isoformat(timespec='seconds')}", markup=False)
    if found.why:
        out.print(f"failed last: {found.why}", markup=False)
    if found.lags:
        print_table("", ("table", "topic", "behind"), [(lag.table, lag.topic, f"{lag.records:,}") for lag in found.lags])
    tables = "shown" if found.shown else "being filled beside those that are shown"
    out.print(f"tables: {tables}; {'all is read' if found.drained else 'not all is read'}")


def _fields(found: Status) -> dict[str, Any]:
    checkpoint = found.checkpoint
    return {
        "job": found.job and {"id": found.job.id, "name": found.job.name, "state": found.job.state},
        "checkpoint": checkpoint and {"number": checkpoint.number, "began": checkpoint.began.isoformat()},
        "lags": [{"table": lag.table, "topic": lag.topic, "records": lag.records} for lag in found.lags],
        "drained": found.drained,
        "shown": found.shown,
        "failure": found.why,
    }
