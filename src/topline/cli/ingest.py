"""Runs a worker of `topline ingest`, and says what it does."""

import time
from typing import Any

from topline.cli.output import counted, err, out, print_json
from topline.cli.running import Interrupted, Stop
from topline.config import Project
from topline.errors import UsageError, WorkError
from topline.ingest.worker import Told, Worker, worker
from topline.live.start import Databases, databases, load_plan
from topline.sources.registry import build_ingested


def ingest_sources(project: Project, *, until_idle: bool, as_json: bool) -> int:
    """The exit code: 130 after Ctrl-C. UsageError where no source is to be brought to Kafka; WorkError where one halted."""
    stop = Stop()
    try:
        with stop.on_signals(), databases(project) as real:
            with stop.droppable():
                found = _worker(project, real)
                found.prepare()
            teller = _Teller(found, until_idle=until_idle)
            found.run(stop, teller.turn)
    except Interrupted:
        return stop.exit_code
    _report(found, teller, as_json=as_json)
    return stop.exit_code


def read_anew(project: Project, target: str) -> None:
    """SOURCE or SOURCE.TABLE is read anew by the worker that has it. UsageError where there is none of that name."""
    source, _, table = target.partition(".")
    with databases(project) as real:
        found = _worker(project, real)
        if source not in found.told:
            raise UsageError(f"no source {source!r} is brought to Kafka here; those that are: {', '.join(found.told)}")
        found.prepare()
        found.read_anew(source, table or None)
    out.print(f"{target} is read anew by the worker that has it, or will", markup=False)


def _worker(project: Project, real: Databases) -> Worker:
    sources = build_ingested(project, load_plan(project).tables, embedded=real.embedded)
    if not sources:
        raise UsageError("no source has `from: kafka` in topline.yml, so there is nothing to bring to Kafka")
    return worker(project, sources)


class _Teller:
    """Says on standard error how each source stands, whenever that has changed."""

    def __init__(self, worker: Worker, *, until_idle: bool) -> None:
        self._worker, self._until_idle = worker, until_idle
        self._last: dict[str, str] = {}
        self.halted: dict[str, str] = {}

    def turn(self) -> bool:
        """Whether all is done."""
        for name, told in {
            **self._worker.told,
            "Kafka": Told("retrying" if self._worker.error else "", self._worker.error),
        }.items():
            reason = told.detail if told.state in ("halted", "retrying") else ""
            line = f"{name}: {told.state}" + (f": {reason}" if reason else "")
            if told.state == "halted":
                self.halted[name] = reason
            else:
                self.halted.pop(name, None)
            if told.state and self._last.get(name) != line:
                err.print(f"{time.strftime('%H:%M:%S')} {line}", markup=False, soft_wrap=True)
            self._last[name] = line
        return self._until_idle and self._worker.is_idle


def _report(worker: Worker, teller: _Teller, *, as_json: bool) -> None:
    counts: dict[str, Any] = {
        name: {"rows": c.rows, "records": c.records, "dead letters": c.dead_letters, "transactions": c.transactions}
        for name, c in worker.counts.items()
    }
    if as_json:
        print_json(counts)
    else:
        for name, c in worker.counts.items():
            letters = f", {counted(c.dead_letters, 'dead letter')}" if c.dead_letters else ""
            out.print(
                f"{name}: {counted(c.rows, 'row', 's')} in {counted(c.transactions, 'transaction', 's')}{letters}", markup=False
            )
    if teller.halted:
        raise WorkError("\n".join(f"{name}: {reason}" for name, reason in teller.halted.items()))
