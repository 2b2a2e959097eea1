"""The schema registry, by Confluent's API (Apicurio has it too): schemas by id, and subjects that stay compatible."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2

from topline.errors import SourceNotReady, TransientError, WorkError
from topline.kafka.avro.program import Schema
from topline.kafka.rest import client
from topline.kafka.settings import Registry as Settings

COMPATIBILITY = "BACKWARD"
"""A new schema reads what was written with the one before: consumers are brought up to date first."""
_TYPE = "application/vnd.schemaregistry.v1+json"
_NO_SCHEMA, _NO_SUBJECT, _NO_LEVEL = 40403, 40401, 40408
_INCOMPATIBLE, _INVALID = (409, 40901), (422, 42201)


class IncompatibleError(WorkError):
    """A schema that readers of the subject's last one could not follow."""


class Registry:
    """Thread-safe. Errors: TransientError where it does not answer, SourceNotReady where it lets nobody in."""

    def __init__(self, settings: Settings, root: Path, timeout: float = 30.0) -> None:
        self._url = settings.url.rstrip("/")
        self._client = client(settings, root, timeout)

    def close(self) -> None:
        self._client.close()

    def schema(self, number: int) -> Schema | None:
        """The schema with this id; None where there is none."""
        found = self._ask("GET", f"/schemas/ids/{number}", missing=(_NO_SCHEMA,))
        return None if found is None else json.loads(found["schema"])

    def register(self, subject: str, schema: Schema) -> int:
        """The id of `schema`, which becomes the subject's last version unless it is one of them already.

        IncompatibleError says what readers could not follow.
        """
        text = json.dumps(schema)
        found = self._ask("POST", f"/subjects/{subject}/versions", {"schema": text, "schemaType": "AVRO"})
        return int(found["id"])

    def require_backward(self, subject: str) -> None:
        """Set a subject's compatibility, and read it back: a registry that takes another level and says nothing was seen.

        WorkError where it does not keep it.
        """
        self._ask("PUT", f"/config/{subject}", {"compatibility": COMPATIBILITY})
        found = self._ask("GET", f"/config/{subject}", missing=(_NO_LEVEL, _NO_SUBJECT)) or {}
        level = found.get("compatibilityLevel")
        if level != COMPATIBILITY:
            raise WorkError(
                f"the registry keeps compatibility {level} for {subject}, not {COMPATIBILITY}: set it there by hand"
            )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, missing: tuple[int, ...] = ()) -> Any:
        """The answer; None for an error code among `missing`."""
        try:
            answer = self._client.request(
                method, self._url + path, json=body, headers={"Content-Type": _TYPE, "Accept": f"{_TYPE}, application/json"}
            )
        except httpx2.HTTPError as error:
            raise TransientError(f"the schema registry {self._url} does not answer: {error or type(error).__name__}") from None
        if answer.is_success:
            return self._parsed(answer)
        code, message = _complaint(answer)
        if code in missing:
            return None
        raise self._failure(answer.status_code, code, message, f"{method} {path}")

    def _parsed(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise TransientError(
                f"{self._url} is no schema registry's API: it answers {answer.headers.get('content-type')!r}; Apicurio's is "
                "at /apis/ccompat/v7"
            ) from None

    def _failure(self, status: int, code: int, message: str, asked: str) -> WorkError:
        if code in _INCOMPATIBLE or status == 409:
            return IncompatibleError(message)
        if status in (401, 403):
            return SourceNotReady(f"the schema registry {self._url} lets nobody in as `kafka.registry.login` says: {message}")
        text = f"the schema registry {self._url} refuses {asked}: {status} {message}"
        return WorkError(text) if code in _INVALID else TransientError(text)


def _complaint(answer: httpx2.Response) -> tuple[int, str]:
    """Error code and message, as the API gives them."""
    try:
        found = answer.json()
        return int(found.get("error_code", answer.status_code)), str(found.get("message") or found.get("title") or "")
    except (ValueError, AttributeError, TypeError):
        return answer.status_code, answer.text[:200]
