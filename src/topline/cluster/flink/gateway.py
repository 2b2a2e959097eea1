"""Flink's SQL Gateway by its REST API: a session, and the statements that run in it.

Source: Flink 2.3, "SQL Gateway: REST endpoint".
"""

import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from topline.cluster.flink.settings import Server
from topline.errors import TransientError, WorkError
from topline.kafka.java import HIDDEN, SECRETS
from topline.kafka.rest import client

_VERSION = "/v3"
_LOOK = 0.1  # seconds between two looks at a statement that runs
_CAUSE = re.compile(r"^(?:Caused by: )?([\w.$]+(?:Exception|Error)): (.+)$", re.MULTILINE)
_SECRET = re.compile(rf"('[^']*(?:{'|'.join(map(re.escape, SECRETS))})[^']*'\s*=\s*)'(?:[^']|'')*'", re.IGNORECASE)


class Session:
    """One session of the gateway, with its own temporary tables and views. Errors: TransientError where the gateway does not
    answer, WorkError with Flink's own reason where a statement fails."""

    def __init__(self, server: Server, root: Path, timeout: float, properties: Mapping[str, str]) -> None:
        self._url = server.url.rstrip("/") + _VERSION
        self._timeout = timeout
        self._client = client(server, root, timeout)
        try:
            self._handle = self._ask("POST", "/sessions", {"properties": dict(properties)})["sessionHandle"]
        except BaseException:
            self._client.close()
            raise

    def close(self) -> None:
        """The session ends; a job that it submitted goes on."""
        with suppress(WorkError):
            self._ask("DELETE", f"/sessions/{self._handle}")
        self._client.close()

    def run(self, statement: str) -> list[list[Any]]:
        """The rows that a statement gives, once it has ended. Numbers with decimals are Decimal."""
        operation = self._ask("POST", f"/sessions/{self._handle}/statements", {"statement": statement})["operationHandle"]
        path: str | None = f"/sessions/{self._handle}/operations/{operation}/result/0?rowFormat=JSON"
        rows: list[list[Any]] = []
        deadline = time.monotonic() + self._timeout
        while path is not None:
            answer = self._ask("GET", path)
            found = answer.get("results", {}).get("data", [])
            rows += [row["fields"] for row in found]
            if answer["resultType"] == "EOS":
                break
            path = (answer.get("nextResultUri") or path).removeprefix(_VERSION)
            if not found:
                self._rest(deadline, statement)
        return rows

    def _rest(self, deadline: float, statement: str) -> None:
        if time.monotonic() > deadline:
            raise TransientError(f"Flink's SQL Gateway has not carried out within {self._timeout:.0f} s: {_begin(statement)}")
        time.sleep(_LOOK)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            answer = self._client.request(method, self._url + path, json=body)
        except httpx2.HTTPError as error:
            raise TransientError(f"Flink's SQL Gateway {self._url} does not answer: {error or type(error).__name__}") from None
        if not answer.is_success:
            raise WorkError(f"Flink's SQL Gateway refuses: {reason(answer.text)}")
        try:
            return json.loads(answer.text, parse_float=Decimal) if answer.text else {}
        except ValueError:
            raise TransientError(f"{self._url} is no SQL Gateway's API: it answers {answer.text[:80]!r}") from None


def reason(complaint: str) -> str:
    """The last cause in a Java stack trace (as JSON or as text), in a line, without passwords."""
    with suppress(ValueError, KeyError, TypeError):
        complaint = "\n".join(map(str, json.loads(complaint)["errors"]))
    causes = _CAUSE.findall(complaint)
    kind, text = causes[-1] if causes else ("", complaint.strip()[:400])
    shown = f"{kind.rpartition('.')[2]}: {text}" if kind else text
    return _without_secrets(shown)


def _begin(statement: str) -> str:
    return _without_secrets(statement)[:80]


def _without_secrets(text: str) -> str:
    """In a line."""
    return _SECRET.sub(rf"\1'{HIDDEN}'", " ".join(text.split()))
