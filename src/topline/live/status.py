"""What is now: of the engine while it runs (`report`), and from outside, for `topline status` (`collect_status`)."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from topline.config import Project
from topline.errors import StateError, WorkError
from topline.live.asking import EngineFile, running_engine
from topline.live.loop import Engine
from topline.live.start import databases
from topline.live.troubles import of_source
from topline.log import LetterState, LogReader
from topline.results import EngineStatus, SourceStatus
from topline.results.overview import Overview, read_overview
from topline.results.status import SourceState
from topline.sources.reader import Status as ReaderStatus

_PATIENCE = 20.0  # seconds that the engine's API may take


def report(engine: Engine, kinds: Mapping[str, str]) -> tuple[EngineStatus, list[SourceStatus]]:
    """The engine's own view of itself; `kinds`: source -> kind. Read from another thread than the loop's: counters only."""
    started = datetime.fromtimestamp(engine.counts.started, UTC)
    return EngineStatus(started, _details(engine)), [_source(engine, name, kind) for name, kind in kinds.items()]


def _details(engine: Engine) -> dict[str, Any]:
    counts, machinery = engine.counts, engine.machinery
    return {
        "changes": counts.changes,
        "batches": counts.batches,
        "rows_read": counts.rows_read,
        "epoch": machinery.log.epoch,
        "queued": machinery.readers.queued_rows,
        "publishing_error": machinery.publication.last_error,
        "disk": disk_troubles(engine),
        "held_tables": dict(engine.holds.tables),
        "halted_models": dict(engine.holds.models),
        "rejected": engine.rejected(),
        "state": [list(size) for size in machinery.dataflow.state()],
    }


def disk_troubles(engine: Engine) -> list[str]:
    """What a disk does not take now, and is tried again; nothing of the results waits for it."""
    found = (engine.machinery.log.trouble, engine.machinery.checkpoints.trouble)
    return [trouble for trouble in found if trouble]


def _source(engine: Engine, name: str, kind: str) -> SourceStatus:
    found = engine.machinery.readers[name].state
    held = [text for table, text in dict(engine.holds.tables).items() if table.partition(".")[0] == name]
    return SourceStatus(
        source=name,
        kind=kind,
        state=_STATES[found.status],
        phase=found.progress.phase,
        detail="; ".join([*held, found.progress.detail] if found.progress.detail else held),
        last_error=of_source(found),
        lag_bytes=found.progress.lag_bytes,
        time=engine.source_times.get(name),
        rows=engine.counts.by_source.get(name, 0),
        dead_letters=engine.counts.letters_by_source.get(name, 0),
    )


_STATES: dict[ReaderStatus, SourceState] = {
    ReaderStatus.STARTING: "starting",
    ReaderStatus.RUNNING: "running",
    ReaderStatus.ENDED: "running",
    ReaderStatus.RETRYING: "down",
    ReaderStatus.HALTED: "halted",
}


@dataclass(frozen=True, slots=True)
class Status:
    """`summary`: name -> value, for people and machines alike."""

    summary: dict[str, Any]
    sources: tuple[Mapping[str, Any], ...]
    models: tuple[Mapping[str, Any], ...]

    def source_rows(self) -> list[tuple[Any, ...]]:
        return [
            (s["source"], s["kind"], s["state"], s["phase"], s["time"], s["last_error"] or s["detail"]) for s in self.sources
        ]

    def model_rows(self) -> list[tuple[Any, ...]]:
        return [(m["model"], str(m["epoch"]), m["published_at"], m["note"]) for m in self.models]


def collect_status(project: Project) -> Status:
    """Engine, sources and models as they are now, whether an engine runs or not; `results` says it when PostgreSQL is down."""
    overview, fault = _overview(project)
    running = running_engine(project.state_dir)
    summary: dict[str, Any] = {
        "project": project.config.project,
        "engine": f"running, process {running.pid}" if running else "not running",
        "api": running.api if running else None,
        **_log_summary(project),
        **fault,
    }
    if overview is None:
        return Status(summary | _troubles(running), (), ())
    notes = {**overview.details.get("halted_models", {})}
    if disk := overview.details.get("disk"):
        summary["disk"] = "; ".join(disk)
    summary |= {"published epoch": overview.epoch, "rejected": overview.details.get("rejected"), **_beat(overview)}
    sources = tuple({**s, "state": s["state"] if running else "stopped"} for s in overview.sources)
    return Status(summary, sources, tuple({**m, "note": notes.get(m["model"], "")} for m in overview.models))


def _overview(project: Project) -> tuple[Overview | None, dict[str, str]]:
    try:
        with databases(project) as real:
            return read_overview(real(project.config.results.dsn), project.config.results.schema_), {}
    except WorkError as error:
        return None, {"results": str(error)}


def _troubles(running: EngineFile | None) -> dict[str, Any]:
    """What a running engine itself says where its results cannot be asked."""
    if running is None:
        return {}
    try:
        with urllib.request.urlopen(f"{running.api}/readyz", timeout=_PATIENCE):
            return {}
    except urllib.error.HTTPError as error:
        return {"troubles": "; ".join(json.loads(error.read()).get("errors", []))}
    except (OSError, ValueError) as error:
        return {"troubles": f"the engine's API does not answer: {error}"}


def _log_summary(project: Project) -> dict[str, Any]:
    try:
        with LogReader.open(project.state_dir, project.config.project) as log:
            return {"log epoch": log.epoch, "open dead letters": log.letters.count(state=LetterState.OPEN)}
    except StateError as error:
        return {"log": str(error)}


def _beat(overview: Overview) -> dict[str, Any]:
    return {} if overview.heartbeat is None else {"heartbeat age": f"{time.time() - overview.heartbeat.timestamp():.1f} s"}
