"""What the OpenAPI document says of an endpoint beside its signature: the forms of an answer, an example, the problems."""

import json
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from topline.api.problems import responses
from topline.api.representations import CSV, JSON, PARQUET

_EXAMPLES = Path(__file__).with_name("examples.json")
READ = (
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_ACCEPTABLE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_TABLES: dict[str, Any] = {
    CSV: {"schema": {"type": "string"}},
    PARQUET: {"schema": {"type": "string", "format": "binary"}},
}


@cache
def examples() -> dict[str, dict[str, Any]]:
    """Endpoint -> a question (`ask`) and what was answered (`answer`): a test asks them all."""
    found: dict[str, dict[str, Any]] = json.loads(_EXAMPLES.read_text(encoding="utf-8"))
    return found


def answers(*statuses: HTTPStatus, tables: bool = False, success: int = 200) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint that reads. `tables`: its rows come as CSV and Parquet too."""
    fine: dict[str, Any] = {"content": {JSON: {}, **(_TABLES if tables else {})}}
    if success == HTTPStatus.OK:
        fine["headers"] = _HEADERS
        changed: dict[int | str, dict[str, Any]] = {304: {"description": "As `If-None-Match` has it: nothing changed."}}
    else:
        changed = {}
    return {success: fine, **changed, **responses(*READ, *statuses)}


def install_examples(app: FastAPI) -> None:
    """Put into the document once it is made: FastAPI would leave every null out of an example."""
    made = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            paths = made()["paths"]
            for path, example in examples().items():
                [operation] = paths[path].values()
                [success] = [one for status, one in operation["responses"].items() if status in ("200", "202")]
                success["content"][JSON]["example"] = example["answer"]
        return made()

    app.openapi = document  # type: ignore[method-assign]


_HEADERS: dict[str, Any] = {
    "ETag": {"description": "Of these bytes; give it back in `If-None-Match`.", "schema": {"type": "string"}},
    "Topline-As-Of": {"description": "`as_of` as JSON: tables have no room for it.", "schema": {"type": "string"}},
    "Link": {"description": "RFC 8288: the next page, where there is one.", "schema": {"type": "string"}},
}
