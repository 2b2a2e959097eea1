"""The schema registry, by Confluent's API (Apicurio has it too): schemas by id."""

import json
from pathlib import Path
from typing import Any

import httpx2

from topline.errors import SourceNotReady, TransientError, WorkError
from topline.kafka.avro.program import Schema
from topline.kafka.rest import client
from topline.kafka.settings import Registry as Settings

_TYPES = "application/vnd.schemaregistry.v1+json, application/json"
_NO_SCHEMA = 40403


class Registry:
    """Thread-safe. Errors: TransientError where it does not answer, SourceNotReady where it lets nobody in."""

    def __init__(self, settings: Settings, root: Path, timeout: float = 30.0) -> None:
        self._url = settings.url.rstrip("/")
        self._client = client(settings, root, timeout)

    def close(self) -> None:
        self._client.close()

    def schema(self, number: int) -> Schema | None:
        """The schema with this id; None where there is none."""
        asked = f"GET /schemas/ids/{number}"
        try:
            answer = self._client.get(f"{self._url}/schemas/ids/{number}", headers={"Accept": _TYPES})
        except httpx2.HTTPError as error:
            raise TransientError(f"the schema registry {self._url} does not answer: {error or type(error).__name__}") from None
        if answer.is_success:
            return json.loads(self._parsed(answer)["schema"])
        code, message = _complaint(answer)
        if code == _NO_SCHEMA:
            return None
        raise self._failure(answer.status_code, message, asked)

    def _parsed(self, answer: httpx2.Response) -> Any:
        try:
            return answer.json()
        except ValueError:
            raise TransientError(
                f"{self._url} is no schema registry's API: it answers {answer.headers.get('content-type')!r}; Apicurio's is "
                "at /apis/ccompat/v7"
            ) from None

    def _failure(self, status: int, message: str, asked: str) -> WorkError:
        if status in (401, 403):
            return SourceNotReady(f"the schema registry {self._url} lets nobody in as `kafka.registry.login` says: {message}")
        return TransientError(f"the schema registry {self._url} refuses {asked}: {status} {message}")


def _complaint(answer: httpx2.Response) -> tuple[int, str]:
    """Error code and message, as the API gives them."""
    try:
        found = answer.json()
        return int(found.get("error_code", answer.status_code)), str(found.get("message") or found.get("title") or "")
    except (ValueError, AttributeError, TypeError):
        return answer.status_code, answer.text[:200]
