"""Brings the job onto the cluster, and its tables in place: what `topline flink` does.

The job is restored from a savepoint only where it means the same as before (other settings, the same models over the same
topics): state that a changed model left would be right for Flink, and wrong for the results. Else it reads the topics anew,
into tables beside those that are shown.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from topline.cluster.flink.gateway import Session
from topline.cluster.flink.jobs import Checkpoint, Job, Jobs
from topline.cluster.flink.progress import Lag
from topline.cluster.flink.script import Script
from topline.cluster.flink.work import Work
from topline.errors import TransientError, WorkError

Way = Literal["nothing to do", "restored", "rebuilt"]
_LOOK = 0.5  # seconds between two looks at a job that catches up


@dataclass(frozen=True, slots=True)
class Noted:
    """What is kept of a deployment beside the result tables. `group`: under which its progress is noted at the brokers;
    `filling`: its tables are not shown yet; `path`: the newest savepoint or checkpoint; `ends`: where the topics ended when it
    began to fill them: sales that go on do not keep them from being shown."""

    digest: str = ""
    meaning: str = ""
    job: str = ""
    group: str = ""
    filling: bool = False
    path: str = ""
    ends: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, found: Mapping[str, Any]) -> "Noted":
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Status:
    """`drained`: all that the topics hold, or held when the tables were begun, is in them; `shown`: the tables are in place.
    `why`: of a job that fails."""

    job: Job | None
    checkpoint: Checkpoint | None
    lags: tuple[Lag, ...] = field(default=())
    drained: bool = False
    shown: bool = False
    why: str = ""


class Deployment:
    def __init__(self, work: Work, jobs: Jobs) -> None:
        self._work, self._jobs = work, jobs
        self._ends: Mapping[str, int] = {}  # up to where `wait` waits

    def deploy(self, *, take_over: bool, anew: bool = False) -> Way:
        """`anew`: rebuilt whatever stands: dead letters are read again. WorkError with Flink's reason where the job does not
        start."""
        noted, job = self._found()
        script = self._work.script(noted.group or "none")
        if job is not None and noted.digest == script.digest and not anew:
            return "nothing to do"
        path = noted.path if job is None else self._ended(job, noted)
        if path and not anew and noted.meaning == script.meaning and self._restore(noted, path):
            return "restored"
        self._rebuild(take_over=take_over)
        return "rebuilt"

    def status(self, *, take_over: bool = False) -> Status:
        """As it is now. Tables that are full come in place; what they show is recorded."""
        noted, job = self._found()
        if job is None:
            gone = self._jobs.find(noted.job) if noted.job else None
            why = self._jobs.failure(gone.id) if gone is not None and gone.state == "FAILED" else ""
            return Status(gone, None, shown=bool(noted.job) and not noted.filling, why=why)
        checkpoint = self._jobs.checkpoint(job.id)
        lags = self._lags(noted)
        runs = job.state == "RUNNING" and checkpoint is not None
        drained = runs and not any(lag.unread for lag in lags) and self._settled(job, noted)
        if drained and noted.filling:
            self._work.guest.swap(self._work.models, _fields(noted, filling=False), take_over=take_over)
            noted = self._noted()
        checkpoint = self._jobs.checkpoint(job.id)
        if checkpoint is not None and not noted.filling:
            self._record(checkpoint, noted)
        return Status(job, checkpoint, tuple(lags), drained, not noted.filling, self._jobs.failure(job.id))

    def wait(self, patience: float, *, take_over: bool = False, tell: Callable[[Status], None] = lambda _: None) -> Status:
        """Until all that the topics hold now is read and shown. WorkError where the job ends, TransientError where it takes
        longer than `patience` s."""
        deadline = time.monotonic() + patience
        self._ends = self._ends_now(self._noted().group or "none")
        while True:
            found = self.status(take_over=take_over)
            tell(found)
            if found.drained and found.shown:
                return found
            if found.checkpoint is None and (found.job is None or found.why):
                raise WorkError(f"the job does not run: {found.why or 'the cluster does not know it'}")
            if time.monotonic() > deadline:
                raise TransientError(f"the job has not caught up within {patience:.0f} s: `topline flink status` goes on")
            time.sleep(_LOOK)

    def stop(self) -> str:
        """With a savepoint, from which the same job goes on. Returns its path; '' where no job runs."""
        noted, job = self._found()
        if job is None:
            return ""
        path = self._ended(job, noted)
        self._work.guest.note(_fields(noted, path=path))
        return path

    def _ended(self, job: Job, noted: Noted) -> str:
        """The job's savepoint; of one that cannot make any (it fails again and again), the last checkpoint that was seen."""
        try:
            return self._jobs.stop(job.id)
        except WorkError:
            self._jobs.cancel(job.id)
            return noted.path

    def _found(self) -> tuple[Noted, Job | None]:
        return self._noted(), self._jobs.named(self._work.name)

    def _noted(self) -> Noted:
        return Noted.load(self._work.guest.job())

    def _restore(self, noted: Noted, path: str) -> bool:
        """Whether Flink took the state."""
        if not noted.filling and not self._work.guest.stands(self._work.models):
            return False
        script = self._work.script(noted.group)
        try:
            number = self._submit(script, {"execution.state-recovery.path": path})
        except WorkError:
            return False
        self._work.guest.note(_fields(noted, digest=script.digest, job=number, path=path))
        return True

    def _rebuild(self, *, take_over: bool) -> None:
        group = f"{self._work.name}-{secrets.token_hex(4)}"
        script = self._work.script(group)
        noted = Noted(script.digest, script.meaning, "", group, filling=True)
        self._work.make_letters(group)
        noted = replace(noted, ends=self._ends_now(group))
        self._work.guest.prepare(self._work.models, _fields(noted), take_over=take_over)
        number = self._submit(script, {})
        self._work.guest.note(_fields(noted, job=number))

    def _submit(self, script: Script, more: Mapping[str, str]) -> str:
        """The job's id, once it runs. WorkError where it fails before."""
        session: Session = self._work.session({**script.settings, **more})
        try:
            for table in script.tables:
                session.run(table)
            rows = session.run(script.job)
        finally:
            session.close()
        number = str(rows[0][0])
        self._await_running(number)
        return number

    def _await_running(self, number: str) -> None:
        deadline = time.monotonic() + self._work.timeout
        while time.monotonic() < deadline:
            job = self._jobs.find(number)
            if job is not None and job.state == "RUNNING":
                return
            if job is not None and (why := self._jobs.failure(number)):
                if job.state != "FAILED":
                    self._jobs.cancel(number)
                raise WorkError(f"the job does not start: {why}")
            time.sleep(_LOOK)
        raise TransientError(f"the job does not run within {self._work.timeout:.0f} s; has the cluster free slots?")

    def _lags(self, noted: Noted) -> list[Lag]:
        with closing(self._work.progress(noted.group)) as progress:
            return progress.lags(self._work.topics, self._ends or (noted.ends if noted.filling else {}))

    def _ends_now(self, group: str) -> dict[str, int]:
        with closing(self._work.progress(group)) as progress:
            return progress.ends(self._work.topics)

    def _settled(self, job: Job, noted: Noted) -> bool:
        """After another whole checkpoint nothing has come to be read: what was read before it is written."""
        before = self._jobs.checkpoint(job.id)
        self._jobs.request_checkpoint(job.id)
        deadline = time.monotonic() + self._work.timeout
        while time.monotonic() < deadline:
            found = self._jobs.checkpoint(job.id)
            if found is not None and (before is None or found.number > before.number):
                return not any(lag.unread for lag in self._lags(noted))
            time.sleep(_LOOK / 5)
        return False

    def _record(self, checkpoint: Checkpoint, noted: Noted) -> None:
        times = dict.fromkeys((topic.schema.name.partition(".")[0] for topic in self._work.topics), checkpoint.began)
        self._work.guest.record(self._work.models, times)
        if checkpoint.path:
            self._work.guest.note(_fields(noted, path=checkpoint.path))


def _fields(noted: Noted, **changed: Any) -> dict[str, Any]:
    return {name: changed.get(name, getattr(noted, name)) for name in Noted.__dataclass_fields__}
