"""Errors of the API, all in one shape: RFC 9457 problem details (application/problem+json)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from topline.answers import Problem
from topline.errors import StateError, TransientError

MEDIA_TYPE = "application/problem+json"
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # RFC 9110; older Pythons have older names
_SHOWN = 200  # characters of what was found
_log = logging.getLogger(__name__)


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
    app.exception_handler(ProblemError)(_ours)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(TransientError)(_unavailable)
    app.exception_handler(StateError)(_unavailable)
    app.add_middleware(Edge, hosts=hosts)


class Edge:
    """Answers under the given hosts' names only, and says of an error that nobody foresaw nothing but that."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if request.url.hostname in self._hosts:
            await self._guarded(request, receive, send)
        else:
            detail = f"this API does not answer as {request.url.hostname!r}; ask {sorted(self._hosts)[0]}"
            await problem(request, 421, detail)(scope, receive, send)

    async def _guarded(self, request: Request, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(request.scope, receive, noting)
        except Exception:  # noqa: BLE001 - the edge: logged whole, and answered without its innards
            _log.exception("%s %s failed", request.method, request.url.path)
            if not begun:
                unforeseen = problem(request, 500, "an error that nobody foresaw; the server's log has it")
                await unforeseen(request.scope, receive, send)


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
    return f"{where}: {fault['msg']} (found {repr(fault['input'])[:_SHOWN]})"


async def _unavailable(request: Request, error: Exception) -> Response:
    return problem(request, 503, str(error))
