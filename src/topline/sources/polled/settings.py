"""Settings that the tables of all pulled sources share."""

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from topline.config import Settings, ZoneName
from topline.sources.route import Routed


class Cursor(Settings):
    """By which field a table is read on from where the last poll ended."""

    field: str = Field(description="Field that grows with every change: an update time, or a rising id.")
    type: Literal["time", "number", "text"] = Field(
        "time", description="`time` (ISO 8601), `number`, or `text` (compared by bytes; for a cursor that the origin makes)."
    )
    overlap: float | None = Field(
        None,
        ge=0,
        description="How far back of the greatest value each poll reads again, for rows that became visible late: seconds "
        "for a time (default 300), a distance for a number (default 1000). What is unchanged is not counted twice.",
    )

    @model_validator(mode="after")
    def _no_distance_of_texts(self) -> "Cursor":
        if self.type == "text" and self.overlap:
            raise ValueError("overlap is a distance; there is none between texts")
        return self

    @property
    def reach(self) -> float:
        """The overlap that holds."""
        return {"time": 300.0, "number": 1000.0, "text": 0.0}[self.type] if self.overlap is None else self.overlap


class Deleted(Settings):
    """How a record says that its row is gone."""

    field: str = Field(description="Field that tells that a row is gone.")
    values: tuple[str, ...] = Field(("true",), min_length=1, description="Its values (as text) that say so.")


class PolledTable(Settings):
    """Base of a table's settings in every pulled source."""

    cursor: Cursor | None = Field(
        None,
        description="Read on from the last poll. Without it, every poll lists the whole table, and what is missing is gone.",
    )
    deleted: Deleted | None = Field(None, description="Rows that the origin marks as deleted.")
    compare_every: float | None = Field(
        None,
        gt=0,
        description="With a cursor: seconds between two looks at all keys, which find the rows that are gone. Without it, such "
        "rows stay. About 230 bytes of memory a row.",
    )
    on_empty: Literal["keep", "retract"] = Field(
        "keep", description="When the whole table is listed and is empty: keep the rows of before, or retract them."
    )

    @model_validator(mode="after")
    def _compare_needs_a_cursor(self) -> "PolledTable":
        if self.compare_every is not None and self.cursor is None:
            raise ValueError("compare_every goes with a cursor: without one, every poll lists the whole table and compares")
        return self


class PolledSettings(Routed):
    """Base of the settings of every pulled source."""

    every: float = Field(60.0, gt=0, le=86_400, description="Seconds from the end of one poll of a table to the next.")
    zone: ZoneName = Field("UTC", description="Time zone of times that carry none (IANA name).")

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)
