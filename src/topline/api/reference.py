"""/docs: the OpenAPI document as a page (Swagger UI), from files of our own: it works without the internet."""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

_STATIC = Path(__file__).with_name("static")
_router = APIRouter(include_in_schema=False)


def install_reference(app: FastAPI) -> None:
    app.include_router(_router)
    app.mount("/docs", StaticFiles(directory=_STATIC / "docs"))


@_router.get("/docs")
async def page() -> Response:
    return FileResponse(_STATIC / "docs" / "index.html")
