"""What a source of kind `kafka` may be told in topline.yml. docs/configuration.md is generated from the descriptions here."""

from typing import Literal

from pydantic import Field

from topline.config import Settings as Base
from topline.config import ZoneName


class Settings(Base):
    kind: Literal["kafka"] = Field("kafka", description="Topics of change events in Debezium's format, one a table.")
    tables: dict[str, str] = Field(min_length=1, description="Table (as declared in the models' sources) -> its topic.")
    zone: ZoneName = Field("UTC", description="Time zone of times that carry none and are declared as TIMESTAMPTZ (IANA name).")
