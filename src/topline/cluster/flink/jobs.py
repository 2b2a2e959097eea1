"""Flink's jobs by the JobManager's REST API: how they stand, their checkpoints, and their end.

Source: Flink 2.3, "REST API".
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from topline.cluster.flink.gateway import reason
from topline.cluster.flink.settings import Server
from topline.errors import TransientError, WorkError
from topline.kafka.rest import client

ENDED = frozenset({"FINISHED", "CANCELED", "FAILED"})
_LOOK = 0.2  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Job:
    """`state`: CREATED, RUNNING, RESTARTING, FAILING, FINISHED ..."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest completed one; `began`: all that the job had read then is in it."""

    number: int
    began: datetime
    path: str


class Jobs:
    """Errors: TransientError where the JobManager does not answer, WorkError where it refuses."""

    def __init__(self, server: Server, root: Path, timeout: float) -> None:
        self._url, self._timeout = server.url.rstrip("/"), timeout
        self._client = client(server, root, timeout)

    def close(self) -> None:
        self._client.close()

    def named(self, name: str) -> Job | None:
        """The job of this name that has not ended."""
        found = [Job(one["jid"], one["name"], one["state"]) for one in self._ask("GET", "/jobs/overview")["jobs"]]
        going = [job for job in found if job.name == name and job.state not in ENDED]
        return going[-1] if going else None

    def find(self, number: str) -> Job | None:
        """The job of this id, running or ended; None where the JobManager does not know it."""
        for one in self._ask("GET", "/jobs/overview")["jobs"]:
            if one["jid"] == number:
                return Job(one["jid"], one["name"], one["state"])
        return None

    def checkpoint(self, job: str) -> Checkpoint | None:
        found = self._ask("GET", f"/jobs/{job}/checkpoints").get("latest", {}).get("completed")
        if not found:
            return None
        began = datetime.fromtimestamp(found["trigger_timestamp"] / 1000, UTC)
        return Checkpoint(int(found["id"]), began, str(found.get("external_path") or ""))

    def failure(self, job: str) -> str:
        """Why it failed last, in a line; '' where it did not."""
        found = self._ask("GET", f"/jobs/{job}/exceptions?maxExceptions=1")
        entries = found.get("exceptionHistory", {}).get("entries", [])
        return reason(str(entries[0]["stacktrace"])) if entries else ""

    def request_checkpoint(self, job: str) -> None:
        """Begin one now, beside those of the interval."""
        self._ask("POST", f"/jobs/{job}/checkpoints", {"checkpointType": "CONFIGURED"})

    def stop(self, job: str) -> str:
        """With a savepoint, whose path is given. WorkError where the job cannot make one."""
        request = self._ask("POST", f"/jobs/{job}/stop", {"drain": False})["request-id"]
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            found = self._ask("GET", f"/jobs/{job}/savepoints/{request}")
            if found["status"]["id"] == "COMPLETED":
                return self._savepoint(job, found["operation"])
            time.sleep(_LOOK)
        raise TransientError(f"Flink's job {job} has made no savepoint within {self._timeout:.0f} s")

    def cancel(self, job: str) -> None:
        """End it at once, and wait until it has ended."""
        self._ask("PATCH", f"/jobs/{job}?mode=cancel")
        self.await_end(job)

    def await_end(self, job: str) -> None:
        deadline = time.monotonic() + self._timeout
        while (found := self.find(job)) is not None and found.state not in ENDED:
            if time.monotonic() > deadline:
                raise TransientError(f"Flink's job {job} has not ended within {self._timeout:.0f} s: it is {found.state}")
            time.sleep(_LOOK)

    def _savepoint(self, job: str, operation: Mapping[str, Any]) -> str:
        if "location" not in operation:
            cause = operation.get("failure-cause", {})
            raise WorkError(f"Flink's job {job} makes no savepoint: {reason(str(cause.get('stack-trace', cause)))}")
        self.await_end(job)
        return str(operation["location"])

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._client.request(method, self._url + path, json=body)
        except httpx2.HTTPError as error:
            raise TransientError(f"Flink's JobManager {self._url} does not answer: {error or type(error).__name__}") from None
        if not answer.is_success:
            raise WorkError(f"Flink's JobManager {self._url} refuses {method} {path}: {reason(answer.text)}")
        try:
            return answer.json() if answer.text else {}
        except ValueError:
            raise TransientError(f"{self._url} is no JobManager's API: it answers {answer.text[:80]!r}") from None
