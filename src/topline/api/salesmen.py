"""Salesmen: their ranking, one of them, and his days."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from topline.answers import History, SalesmanAnswer, Salesmen
from topline.api.asking import Ask, Asked, asking, not_found
from topline.api.documented import answers
from topline.api.paging import RankingQuery, SpanQuery, days_of, range_fields, span_of, spelled
from topline.api.problems import ProblemError
from topline.api.representations import JSON
from topline.results.questions import salesman_history, salesman_totals, top_salesmen

router = APIRouter(tags=["salesmen"])
_TOP, _ONE = "/api/v1/salesmen/top", "/api/v1/salesmen/{salesman_id}"
_HISTORY = f"{_ONE}/history"
_LAST_DAYS = 7
_MOST_DAYS = 366

SalesmanId = Annotated[str, Path(description="As the rankings have it.", examples=["S1"])]
Asking = Annotated[Ask, Depends(asking("salesmen:read"))]


@router.get(_TOP, responses=answers(tables=True), response_model=Salesmen)
def best_salesmen(ask: Asking, query: Annotated[RankingQuery, Query()]) -> Response:
    """The best salesmen of a day, or of a range, in the whole country. Ties: by id, in bytes."""
    days = days_of(query, ask.today)
    listing = top_salesmen(days, ask.caller.cities)
    asked = Asked(query.limit, query.cursor, spelled(days))
    return ask.listed(Salesmen, "salesmen", listing, asked, range_fields(days))


@router.get(
    "/api/v1/salesmen/{salesman_id:path}/history",
    responses=answers(HTTPStatus.NOT_FOUND, tables=True),
    response_model=History,
)
def history_of_salesman(ask: Asking, salesman_id: SalesmanId, query: Annotated[SpanQuery, Query()]) -> Response:
    """A salesman's days with sales, newest first: of the last 30 days unless said; ranked or not."""
    _require_possible(salesman_id)
    days = span_of(query, ask.today)
    listing = salesman_history(days, ask.caller.cities, salesman_id)
    page = ask.whole(listing, _MOST_DAYS)
    if not page.extra:
        raise _nobody(salesman_id)
    fields = {"salesman_id": salesman_id, "from": days.first, "to": days.last}
    return ask.answer(History, page, fields, ("days", listing))


@router.get(
    "/api/v1/salesmen/{salesman_id:path}",
    responses=answers(HTTPStatus.NOT_FOUND),
    response_model=SalesmanAnswer,
)
def one_salesman(
    ask: Annotated[Ask, Depends(asking("salesmen:read", (JSON,)))],
    salesman_id: SalesmanId,
    query: Annotated[SpanQuery, Query()],
) -> Response:
    """A salesman: his name, exact totals of a range (the last 30 days unless said), and his last days in it."""
    _require_possible(salesman_id)
    days = span_of(query, ask.today)
    page = ask.whole(salesman_totals(days, ask.caller.cities, salesman_id), _LAST_DAYS)
    if page.extra is None:
        raise _nobody(salesman_id)
    fields = {
        "salesman_id": salesman_id,
        "salesman_name": page.extra["salesman_name"],
        "from": days.first,
        "to": days.last,
        "totals": page.extra,
        "last_days": page.rows,
    }
    return ask.answer(SalesmanAnswer, page, fields)


def _require_possible(salesman_id: str) -> None:
    """PostgreSQL's text holds no zero byte, so nobody has such an id."""
    if "\0" in salesman_id or not salesman_id:
        raise _nobody(salesman_id)


def _nobody(salesman_id: str) -> ProblemError:
    return not_found(f"no sale of a salesman with the id {salesman_id!r} counts")
