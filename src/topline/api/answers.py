"""What the API answers, as types: they make the OpenAPI document. Money is a decimal string, never a float."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, Field

from topline.results import AsOf

Money = Annotated[str, Field(description="A decimal with four places, as a string.", examples=["1250.5000"])]


class AsOfAnswer(BaseModel):
    """What the rows stand for; read in the same statement as they were."""

    epoch: int = Field(description="The epoch that is shown. It only grows.")
    held_back: bool = Field(description="True while other rankings have gone further: a source of this one is not whole.")
    time: datetime | None = Field(description="The oldest of the sources' times: every sale committed before it counts.")
    sources: dict[str, datetime | None] = Field(description="Each source, and the time of its newest change in the epoch.")

    @classmethod
    def of(cls, found: AsOf) -> "AsOfAnswer":
        return cls(epoch=found.epoch, held_back=found.held_back, time=found.time, sources=dict(found.sources))


class City(BaseModel):
    rank: int = Field(description="Place of the day, from 1.")
    date: date
    country: str
    region: str = Field(description="Part of the city's identity; empty where the sale named none.")
    city: str
    total_sales: Money
    transaction_count: int
    avg_sale: Money
    max_sale: Money


class SalesmanDay(BaseModel):
    date: date
    salesman_id: str
    salesman_name: str | None
    total_sales: Money
    deals_closed: int
    avg_deal_size: Money
    cities_covered: int


class Salesman(SalesmanDay):
    rank: int = Field(description="Place of the day in the whole country, from 1; at most 100 are ranked.")


class Cities(BaseModel):
    date: date
    as_of: AsOfAnswer
    cities: list[City]


class Salesmen(BaseModel):
    date: date
    as_of: AsOfAnswer
    salesmen: list[Salesman]


class History(BaseModel):
    salesman_id: str
    as_of: AsOfAnswer
    days: list[SalesmanDay] = Field(description="Days with sales, newest first.")


class Health(BaseModel):
    status: str = Field(examples=["ok"])


class Ready(BaseModel):
    status: str = Field(examples=["ready"])
    epoch: int


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
    accepted_at: datetime = Field(
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
