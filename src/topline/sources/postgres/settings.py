"""What a source of kind `postgres` may be told in topline.yml."""

from typing import Literal

from pydantic import Field

from topline.sources.route import Routed

_NAME = r"^[a-z_][a-z0-9_]{0,62}$"


class Settings(Routed):
    kind: Literal["postgres"] = Field("postgres", description="Log-based capture from PostgreSQL 15 or newer.")
    via: Literal["debezium", "ingest"] = Field(
        "debezium",
        description="With `from: kafka`, who brings its tables there, Debezium (`topline debezium apply`) or `topline ingest`.",
    )
    dsn: str = Field(
        description="`embedded:NAME` or a PostgreSQL DSN of the source database; TLS by its `sslmode`. "
        "A password comes by reference: `${env:NAME}` or `${file:/path}`."
    )
    tables: dict[str, str] | list[str] = Field(
        default_factory=dict,
        description="Where the declared tables lie: `orders: sales.orders`, or a list such as `[sales.orders]`. "
        "A table that is not named here is looked for in the schema `public`.",
    )
    publication: str | None = Field(
        None,
        pattern=_NAME,
        description="Publication to read. Default: `topline_` and the source's name, which Topline makes and keeps. "
        "To one that you name, missing tables are added, and none is taken away.",
    )
    slot: str | None = Field(
        None,
        pattern=_NAME,
        description="Replication slot. Default: `topline_` and the source's name. No two projects may share one.",
    )
    zone: str = Field(
        "UTC", description="Time zone of `timestamp` columns (they carry none) that are declared as TIMESTAMPTZ (IANA name)."
    )
    heartbeat: float = Field(
        10.0,
        ge=0.1,
        description="Seconds between looks at slot and publication, and, while nothing of ours changes, "
        "between steps that let the slot go on.",
    )
    copy_rows: int = Field(50_000, ge=1, description="Most rows in one part of a table's first copy.")
    connect_timeout: int = Field(10, ge=2, description="Seconds to wait for a connection.")
    silence: float = Field(
        60.0,
        ge=1,
        description="Seconds for which the server may say nothing, though it was asked; then the connection is taken for lost, "
        "and made anew. Amid a copy, five times as long.",
    )
