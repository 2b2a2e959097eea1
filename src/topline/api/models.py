"""Any published model: what there is, its rows, and where its columns come from."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from topline.answers import Models, Rows
from topline.api.access import Scope
from topline.api.asking import Ask, Asked, asking, not_found
from topline.api.documented import answers
from topline.api.lineage import Drawing
from topline.api.paging import Cursor, Limit
from topline.api.problems import ProblemError
from topline.api.representations import JSON
from topline.api.values import typed
from topline.models.plan import ModelPlan
from topline.results.questions import has_cities, model_rows, orders, published
from topline.schema import TableSchema

router = APIRouter(tags=["models"])
_ALL, _ONE, _LINEAGE = "/api/v1/models", "/api/v1/models/{model}", "/api/v1/lineage"
_OWN = frozenset({"limit", "cursor", "order"})
_SCOPES: Mapping[str, Scope] = {"rejected_sales": "operations:read"}


def model_of(ask: Ask, name: str) -> ModelPlan:
    """404 where no published model is named so."""
    found = _published(ask).get(name)
    if found is None:
        raise not_found(f"no published model is named {name!r}; there is {', '.join(sorted(_published(ask))) or 'none'}")
    return found


def _published(ask: Ask) -> dict[str, ModelPlan]:
    models = ask.plan.models if ask.plan else {}
    return {name: model for name, model in models.items() if model.published}


@router.get(_ALL, responses=answers(), response_model=Models)
def list_models(ask: Annotated[Ask, Depends(asking("sales:read", (JSON,)))]) -> Response:
    """The published models: keys, columns, types and descriptions, and what their rows may be ordered by."""
    page = ask.whole(published(), len(_published(ask)) or 1)
    epochs = page.extra or {}
    models = [_described(model, epochs.get(name, 0)) for name, model in _published(ask).items()]
    return ask.answer(Models, page, {"models": models})


def _described(model: ModelPlan, epoch: int) -> dict[str, Any]:
    notes = model.column_descriptions
    columns = [{"name": c.name, "type": c.type.value, "description": notes.get(c.name, "")} for c in model.schema.columns]
    return {
        "name": model.name,
        "description": model.description,
        "epoch": epoch,
        "key": list(model.schema.key),
        "orders": list(orders(model.schema.key, model.indexes)),
        "columns": columns,
    }


@router.get(_ONE, responses=answers(HTTPStatus.NOT_FOUND, tables=True), response_model=Rows)
def rows_of_model(
    request: Request,
    ask: Annotated[Ask, Depends(asking("sales:read"))],
    model: Annotated[str, Path(description="A published model.", examples=["salesman_daily"])],
    limit: Annotated[Limit, Query()] = 100,
    cursor: Annotated[Cursor, Query()] = None,
    order: Annotated[str | None, Query(description="One of the model's `orders`; its key by default.")] = None,
) -> Response:
    """A model's rows. Each further parameter is a column, and the value that it must have: `?date=2026-11-21&city=Roma`."""
    found = model_of(ask, model)
    _require_rights(ask, found.schema)
    filters, faults = _filters(request, found.schema)
    ordered = orders(found.schema.key, found.indexes)
    if order is not None and order not in ordered:
        faults.append(f"order: {order!r} is none of this model's: {'; '.join(ordered)}")
    if faults:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(faults), faults)
    listing = model_rows(found.schema, ordered[order or next(iter(ordered))], filters, ask.caller.cities)
    parameters = {name: value for name, value in request.query_params.items() if name not in ("limit", "cursor")}
    return ask.listed(Rows, "rows", listing, Asked(limit, cursor, parameters), {"model": model})


def _require_rights(ask: Ask, schema: TableSchema) -> None:
    """Names and figures of salesmen need the scope of salesmen; a rule about cities needs the columns to keep it."""
    if schema.name in _SCOPES:
        ask.caller.require(_SCOPES[schema.name])
    if "salesman_id" in schema.names:
        ask.caller.require("salesmen:read")
    if not has_cities(schema):
        ask.caller.require_all_cities(f"the model {schema.name}")


def _filters(request: Request, schema: TableSchema) -> tuple[dict[str, Any], list[str]]:
    """Column -> the value asked for, and what is wrong with the others."""
    filters: dict[str, Any] = {}
    faults: list[str] = []
    for name, text in request.query_params.multi_items():
        if name in _OWN:
            continue
        if name in filters:
            faults.append(f"{name}: given twice")
        elif name not in schema.names:
            faults.append(f"{name}: no such parameter; columns are {', '.join(schema.names)}")
        else:
            try:
                filters[name] = typed(schema.type_of(name), text)
            except ValueError as error:
                faults.append(f"{name}: {error} (found {text!r})")
    return filters, faults


@router.get(_LINEAGE, responses=answers(), response_model=Drawing.KIND)
def lineage(request: Request, ask: Annotated[Ask, Depends(asking("sales:read", (JSON,)))]) -> Response:
    """Tables, models and results with their columns and SQL, and where each column's values come from, one step back."""
    drawing: Drawing = request.app.state.drawing
    return Response(drawing.body(ask.plan, ask.results.schema), media_type=JSON)
