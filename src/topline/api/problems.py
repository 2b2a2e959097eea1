"""Errors of the API, all in one shape: RFC 9457 problem details (application/problem+json)."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from topline.errors import StateError, TransientError

MEDIA_TYPE = "application/problem+json"
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110; older Pythons have older names
_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """RFC 9457. `type` is about:blank, so `title` is the status in words; `detail` says what and what to do."""

    type: str = "about:blank"
    title: str = Field(description="The HTTP status in words.", examples=["Service Unavailable"])
    status: int = Field(description="The HTTP status.", examples=[503])
    detail: str = Field(description="What is wrong here, and what to do.")
    instance: str = Field(description="The path that was asked for.", examples=["/readyz"])
    errors: list[str] = Field(default_factory=list, description="Each fault by itself, where there may be several.")


class ProblemError(Exception):
    """Raised by an endpoint to answer with a problem."""

    def __init__(
        self, status: HTTPStatus, detail: str, errors: list[str] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors or [], headers or {}


def problem(
    request: Request, status: int, detail: str, errors: list[str] | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, instance=request.url.path, errors=errors or [])
    retry = {"Retry-After": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return JSONResponse(body.model_dump(), status, {**retry, **(headers or {})}, MEDIA_TYPE)


def install_problems(app: FastAPI, hosts: frozenset[str]) -> None:
    """Every error that leaves `app` is a problem: ours, the framework's, a strange host's, and those that nobody foresaw."""

    async def edge(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.hostname not in hosts:
            return problem(request, 421, f"this API does not answer as {request.url.hostname!r}; ask {sorted(hosts)[0]}")
        return await _guarded(request, call_next)

    app.exception_handler(ProblemError)(_ours)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(TransientError)(_unavailable)
    app.exception_handler(StateError)(_unavailable)
    app.middleware("http")(edge)


def responses(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: these statuses answer with a problem."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {int(status): {"description": status.phrase, "model": Problem, "content": content} for status in statuses}


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem(request, error.status, error.detail, error.errors, error.headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: f"there is nothing at {request.url.path}; /openapi.json lists what there is",
        405: f"{request.method} is not possible at {request.url.path}",
    }.get(error.status_code, str(error.detail))
    return problem(request, error.status_code, detail, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [_fault(fault) for fault in error.errors()]
    return problem(request, 422, "; ".join(faults), faults)


def _fault(fault: dict[str, Any]) -> str:
    where = str(fault["loc"][-1])
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such parameter"
    return f"{where}: {fault['msg']} (found {fault['input']!r})"


async def _unavailable(request: Request, error: Exception) -> Response:
    return problem(request, 503, str(error))


async def _guarded(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        return await call_next(request)
    except Exception:  # noqa: BLE001 - the edge: logged whole, and answered without its innards
        _log.exception("%s %s failed", request.method, request.url.path)
        return problem(request, 500, "an error that nobody foresaw; the server's log has it")
