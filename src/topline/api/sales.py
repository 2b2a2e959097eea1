"""Sales by city, and the rejected ones."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from topline.answers import Cities, CityHistory, RejectedSales
from topline.api.asking import Ask, Asked, asking
from topline.api.documented import answers
from topline.api.models import model_of
from topline.api.paging import Cursor, Limit, RankingQuery, SpanQuery, days_of, range_fields, span_of, spelled
from topline.api.values import PlainText
from topline.results.questions import city_history, model_rows, orders, top_cities

router = APIRouter(tags=["sales"])
_RANKING, _HISTORY, _REJECTED = "/api/v1/sales/city", "/api/v1/sales/city/history", "/api/v1/sales/rejected"
_MOST_DAYS = 366


class CityQuery(RankingQuery):
    country: PlainText | None = Field(None, description="Only cities of this country.")
    region: PlainText | None = Field(None, description="Only of this region; empty: those that name none.")
    city: PlainText | None = Field(None, description="Only cities of this name.")


class CityHistoryQuery(SpanQuery):
    country: PlainText = Field(description="The city is (country, region, city).")
    region: PlainText = Field("", description="Empty where the city's sales name none.")
    city: PlainText = Field(description="The city's name.")


class RejectedQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: PlainText | None = Field(None, description="Only of this source.")
    reason: PlainText | None = Field(None, description="Only for this reason, word for word.")
    limit: Limit = 100
    cursor: Cursor = None


@router.get(_RANKING, responses=answers(tables=True), response_model=Cities)
def sales_by_city(ask: Annotated[Ask, Depends(asking("sales:read"))], query: Annotated[CityQuery, Query()]) -> Response:
    """The cities with the highest sales of a day or, exactly, of a range. Ties: by country, region and city, in bytes."""
    days = days_of(query, ask.today)
    place = {"country": query.country, "region": query.region, "city": query.city}
    listing = top_cities(days, ask.caller.cities, **place)
    asked = Asked(query.limit, query.cursor, {**spelled(days), **place})
    return ask.listed(Cities, "cities", listing, asked, range_fields(days))


@router.get(_HISTORY, responses=answers(tables=True), response_model=CityHistory)
def history_of_city(
    ask: Annotated[Ask, Depends(asking("sales:read"))], query: Annotated[CityHistoryQuery, Query()]
) -> Response:
    """A city's days with sales, newest first: the last 30 unless said. A city that nobody sold in has none."""
    days = span_of(query, ask.today)
    listing = city_history(days, ask.caller.cities, query.country, query.region, query.city)
    place = {"country": query.country, "region": query.region, "city": query.city}
    page = ask.whole(listing, _MOST_DAYS)
    return ask.answer(CityHistory, page, {**place, "from": days.first, "to": days.last}, ("days", listing))


@router.get(_REJECTED, responses=answers(tables=True), response_model=RejectedSales)
def rejected_sales(
    ask: Annotated[Ask, Depends(asking("operations:read"))], query: Annotated[RejectedQuery, Query()]
) -> Response:
    """Readable rows that break a rule, by source, table and key: kept out of the rankings until they are corrected."""
    ask.caller.require_all_cities("rejected sales")
    schema = model_of(ask, "rejected_sales").schema
    filters = {"source": query.source, "reason": query.reason}
    given = {name: value for name, value in filters.items() if value is not None}
    listing = model_rows(schema, next(iter(orders(schema.key, ()).values())), given)
    return ask.listed(RejectedSales, "rejected", listing, Asked(query.limit, query.cursor, given))
