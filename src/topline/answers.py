"""What the API answers, as types: they make the OpenAPI document, and the client gives them. Money is a decimal string."""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_LETTERS = 2**53 - 1  # what every reader of JSON takes for a whole number
Money = Annotated[str, Field(description="A decimal with four places, as a string.", examples=["1250.5000"])]


class AsOfAnswer(BaseModel):
    """What the rows stand for; read in the same statement as they were."""

    epoch: int = Field(description="The epoch that is shown. It only grows.")
    held_back: bool = Field(description="True while other rankings have gone further: a source of this one is not whole.")
    changed: bool = Field(
        False,
        description="On a later page: true where the first page was of another epoch. Rows may have moved between the two.",
    )
    time: dt.datetime | None = Field(description="The oldest of the sources' times: every sale committed before it counts.")
    sources: dict[str, dt.datetime | None] = Field(description="Each source, and the time of its newest change in the epoch.")


class Answer(BaseModel):
    """Every answer says what it stands for."""

    model_config = ConfigDict(populate_by_name=True)

    as_of: AsOfAnswer


class PageAnswer(Answer):
    next: str | None = Field(None, description="Where the next page is (also in the `Link` header); null on the last one.")


class RangeAnswer(Answer):
    """`date` is null for a range of several days."""

    date: dt.date | None = Field(description="The one day that was asked for; null for a range.")
    first: dt.date = Field(alias="from", description="First day.")
    last: dt.date = Field(alias="to", description="Last day, which is in it.")


class City(BaseModel):
    rank: int = Field(description="Place from 1, among the cities that were asked for and may be seen.")
    date: dt.date | None = Field(description="Null for a range of several days.")
    country: str
    region: str = Field(description="Part of the city's identity; empty where the sale named none.")
    city: str
    total_sales: Money
    transaction_count: int
    avg_sale: Money
    max_sale: Money


class CityDay(BaseModel):
    date: dt.date
    country: str
    region: str
    city: str
    total_sales: Money
    transaction_count: int
    avg_sale: Money
    max_sale: Money


class SalesmanDay(BaseModel):
    date: dt.date
    salesman_id: str
    salesman_name: str | None
    total_sales: Money
    deals_closed: int
    avg_deal_size: Money
    cities_covered: int


class Salesman(BaseModel):
    rank: int = Field(description="Place from 1. Of one day in the whole country the first 100 are ranked, else all.")
    date: dt.date | None = Field(description="Null for a range of several days.")
    salesman_id: str
    salesman_name: str | None
    total_sales: Money
    deals_closed: int
    avg_deal_size: Money
    cities_covered: int = Field(description="Different cities of the whole range.")


class Cities(RangeAnswer, PageAnswer):
    cities: list[City]


class CityHistory(Answer):
    country: str
    region: str
    city: str
    first: dt.date = Field(alias="from")
    last: dt.date = Field(alias="to")
    days: list[CityDay] = Field(description="Days with sales, newest first.")


class Salesmen(RangeAnswer, PageAnswer):
    salesmen: list[Salesman]


class History(Answer):
    salesman_id: str
    first: dt.date = Field(alias="from")
    last: dt.date = Field(alias="to")
    days: list[SalesmanDay] = Field(description="Days with sales, newest first.")


class Totals(BaseModel):
    total_sales: Money
    deals_closed: int
    avg_deal_size: Money | None = Field(description="Null without a deal.")
    cities_covered: int = Field(description="Different cities of the whole range.")


class SalesmanAnswer(Answer):
    salesman_id: str
    salesman_name: str | None
    first: dt.date = Field(alias="from")
    last: dt.date = Field(alias="to")
    totals: Totals
    last_days: list[SalesmanDay] = Field(description="The newest days of the range with sales, at most 7.")


class Rejected(BaseModel):
    source: str
    source_table: str
    row_key: str
    reason: str | None
    original: str | None = Field(description="The row as it came.")


class RejectedSales(PageAnswer):
    rejected: list[Rejected]


class ColumnAnswer(BaseModel):
    name: str
    type: str = Field(examples=["DECIMAL(18,4)"])
    description: str


class ModelAnswer(BaseModel):
    name: str
    description: str
    epoch: int = Field(description="The epoch that it shows; 0: not published yet.")
    key: list[str]
    orders: list[str] = Field(description="What its rows may be ordered by (`order`), its key first; `-` is descending.")
    columns: list[ColumnAnswer]


class Models(Answer):
    models: list[ModelAnswer]


class Rows(PageAnswer):
    model: str
    rows: list[dict[str, Any]]


class Source(BaseModel):
    source: str
    kind: str
    state: str = Field(description="starting, running, down (tried again) or halted (until a person acts).")
    phase: str
    detail: str
    last_error: str
    lag_bytes: int | None = Field(description="Bytes that wait at the source, where it can tell.")
    time: dt.datetime | None = Field(description="Of the newest change taken.")
    published_time: dt.datetime | None = Field(description="Of the newest change published.")
    behind_seconds: float | None = Field(description="From the newest change published to the newest taken.")
    rows: int = Field(description="Changes taken since the engine started.")
    rejected: int
    dead_letters: int


class Sources(Answer):
    heartbeat: dt.datetime | None = Field(description="When the engine spoke last; null: never.")
    heartbeat_age_seconds: float | None
    sources: list[Source]


class Letter(BaseModel):
    id: int
    source: str
    table: str
    locator: str = Field(description="Where it stood.")
    reason: str
    time: dt.datetime
    state: str = Field(description="open, replayed or superseded.")
    bytes: int


class Letters(PageAnswer):
    dead_letters: list[Letter]


class LetterAnswer(Answer, Letter):
    raw: str = Field(description="The bytes in base64, the first 65,536 of them; `topline dead-letters show` has all.")
    text: str | None = Field(description="The same as text; null where they are not UTF-8.")
    truncated: bool


def _whole(value: object) -> object:
    """2.0 is a whole number to JSON (RFC 8259, 6), "2" is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


LetterNumber = Annotated[int, BeforeValidator(_whole), Field(strict=True, ge=1, le=MOST_LETTERS)]


class ReplayRequest(BaseModel):
    """Dead letters to be read again."""

    model_config = ConfigDict(extra="forbid")

    letters: list[LetterNumber] = Field(min_length=1, max_length=1000)


class ReplayAccepted(BaseModel):
    command: int = Field(description="The number under which the engine takes it, at its next look.")
    letters: list[int]


class Origin(BaseModel):
    relation: str = Field(description="A table (`source.table`) or a model.")
    column: str


class LineageColumn(ColumnAnswer):
    origins: list[Origin] = Field(description="The columns that its value is made of, one step back.")


class LineageTable(BaseModel):
    name: str
    source: str
    key: list[str]
    columns: list[ColumnAnswer]


class LineageModel(BaseModel):
    name: str
    path: str
    description: str
    published: bool
    result: str | None = Field(description="The table of the results database; null where it is not published.")
    key: list[str]
    depends_on: list[str]
    columns: list[LineageColumn]
    sql: str = Field(description="The model as PostgreSQL would run it, over `source.table` and models by name.")


class Lineage(BaseModel):
    tables: list[LineageTable]
    models: list[LineageModel] = Field(description="In topological order: what a model reads stands before it.")


class Event(BaseModel):
    """One publication."""

    epoch: int
    models: list[str] | None = Field(description="Those that changed; null: nobody can tell which.")


class Health(BaseModel):
    status: str = Field(examples=["ok"])


class Ready(BaseModel):
    status: str = Field(examples=["ready"])
    epoch: int


class Problem(BaseModel):
    """RFC 9457. `type` is about:blank, so `title` is the status in words; `detail` says what and what to do."""

    type: str = "about:blank"
    title: str = Field(description="The HTTP status in words.", examples=["Service Unavailable"])
    status: int = Field(description="The HTTP status.", examples=[503])
    detail: str = Field(description="What is wrong here, and what to do.")
    instance: str = Field(description="The path that was asked for.", examples=["/readyz"])
    errors: Sequence[str] = Field(default_factory=list, description="Each fault by itself, where there may be several.")


Place = Annotated[
    str,
    Field(
        description="A place in the inbox: its generation and the record's number. Places compare as texts.",
        examples=["1795269600000-000000000017"],
    ),
]


class Accepted(BaseModel):
    table: str = Field(description="Full name of the table.", examples=["web.orders"])
    accepted: int = Field(description="Rows that are in the inbox, on the disk; deletions too.")
    kept_as_dead_letters: int = Field(description="Records that are no rows, and were kept (`on_invalid: keep`).")
    first: Place
    last: Place
    accepted_at: dt.datetime = Field(
        description="Grows from request to request. The rows are published once a ranking's `as_of.sources` has this time, "
        "or a later one, for their source."
    )
    status: str = Field(description="Where to ask how far the engine is.", examples=["/api/v1/ingest/web.orders"])


class InboxStanding(BaseModel):
    table: str
    waiting_rows: int = Field(description="Records of the table's source that are accepted, and not in the log yet.")
    waiting_bytes: int
    accepted: Place = Field(description="The last record that was accepted.")
    committed: Place = Field(description="Up to here all is in the log.")
