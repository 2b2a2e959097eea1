"""Kafka Connect's REST API: connectors made, changed, looked at and removed."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from topline.errors import TransientError, WorkError
from topline.kafka.rest import client
from topline.kafka.settings import Connect as Settings

_BUSY = (409, 500, 503)
_PATIENCE, _REST = 30.0, 0.5  # seconds for which workers may share out, and between two questions


@dataclass(frozen=True, slots=True)
class State:
    """Of a connector or one of its tasks: RUNNING, PAUSED, FAILED ...; `reason`: why it failed, in a line."""

    what: str
    state: str
    reason: str = ""


class Connect:
    """Errors: TransientError where it does not answer, or is busy with its workers; WorkError where it refuses."""

    def __init__(self, settings: Settings, root: Path, timeout: float = 30.0) -> None:
        self._url = settings.url.rstrip("/")
        self._client = client(settings, root, timeout)

    def close(self) -> None:
        self._client.close()

    def config(self, name: str) -> dict[str, str] | None:
        """A connector's settings; None where there is none of the name."""
        found = self._ask("GET", f"/connectors/{name}/config")
        return None if found is None else {str(key): str(value) for key, value in found.items()}

    def put(self, name: str, config: Mapping[str, str]) -> None:
        """Make the connector, or change it. WorkError names the settings that Connect does not take."""
        self._ask("PUT", f"/connectors/{name}/config", config)

    def remove(self, name: str) -> None:
        """End the connector. What it wrote stays, as does how far it was (its offsets)."""
        self._ask("DELETE", f"/connectors/{name}")

    def stop(self, name: str) -> None:
        """Let it keep its settings, and run no task."""
        self._ask("PUT", f"/connectors/{name}/stop")

    def forget(self, name: str) -> None:
        """How far a connector was, which is stopped: it begins anew. TransientError while it is stopping."""
        self._ask("DELETE", f"/connectors/{name}/offsets")

    def restart(self, name: str) -> None:
        """Start again what failed of it."""
        self._ask("POST", f"/connectors/{name}/restart?includeTasks=true&onlyFailed=true")

    def states(self, name: str) -> list[State]:
        """Of the connector, then of its tasks; none where there is no such connector, or Connect is still to start it."""
        found = self._ask("GET", f"/connectors/{name}/status")
        if found is None:
            return []
        tasks = [_state(f"task {task['id']}", task) for task in found["tasks"]]
        return [_state("connector", found["connector"]), *tasks]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer; None where there is nothing of the name, or nothing to say. Workers that share their work out anew are
        waited for."""
        deadline = time.monotonic() + _PATIENCE
        while _shares_out(answer := self._answer(method, path, body)) and time.monotonic() < deadline:
            time.sleep(_REST)
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise self._failure(answer, f"{method} {path.partition('?')[0]}")
        return _parsed(answer)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx2.Response:
        try:
            return self._client.request(method, self._url + path, json=body)
        except httpx2.HTTPError as error:
            raise TransientError(f"Kafka Connect {self._url} does not answer: {error or type(error).__name__}") from None

    def _failure(self, answer: httpx2.Response, asked: str) -> WorkError:
        found = _parsed(answer)
        said = found.get("message") if isinstance(found, dict) else None
        text = f"Kafka Connect {self._url} refuses {asked}: {answer.status_code} {said or answer.text[:500]}"
        busy = answer.status_code in (400, 409, 500, 503) if asked.endswith("/offsets") else answer.status_code in _BUSY
        return TransientError(text) if busy else WorkError(text)


def _shares_out(answer: httpx2.Response) -> bool:
    return answer.status_code in _BUSY and "rebalance" in answer.text


def _state(what: str, found: Mapping[str, Any]) -> State:
    """The cause that Java names last says most."""
    lines = str(found.get("trace", "")).splitlines()
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return State(what, str(found["state"]), causes[-1] if causes else lines[0] if lines else "")


def _parsed(answer: httpx2.Response) -> Any:
    try:
        return answer.json() if answer.content else None
    except json.JSONDecodeError:
        return None
