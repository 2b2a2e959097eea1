"""What a source of kind `sql` may be told in topline.yml. docs/configuration.md is generated from the descriptions here."""

from typing import Any, Literal

from pydantic import Field

from topline.sources.polled import PolledSettings, PolledTable


class SqlTable(PolledTable):
    """Where a declared table lies, and how it is read on."""

    table: str | None = Field(
        None,
        description="Table or view in the database, `orders` or `sales.orders`. Default: the name under which it is declared.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Declared column -> its name in the database, where the two differ."
    )
    page_rows: int = Field(10_000, ge=1, le=1_000_000, description="Most rows that one query brings.")


class SqlSettings(PolledSettings):
    """A relational database that SQLAlchemy knows."""

    kind: Literal["sql"] = Field("sql", description="Any relational database, asked by SQL; its log is not needed.")
    via: Literal["ingest", "debezium"] = Field(
        "ingest",
        description="With `from: kafka`, who brings its tables there: `topline ingest`, by asking, or Debezium "
        "(`topline debezium apply`), which reads the log of MySQL, MariaDB or SQL Server.",
    )
    url: str = Field(
        description="SQLAlchemy URL: `mysql+pymysql://reader:${env:SHOP_PASSWORD}@db.example.org/shop`, `sqlite:///shop.db` "
        "(relative to the project). A password comes by reference: `${env:NAME}` or `${file:/path}`."
    )
    connect_args: dict[str, Any] = Field(
        default_factory=dict, description="Arguments of the driver's `connect`, such as `ssl: {ca: ca.pem}`."
    )
    connect_timeout: int = Field(10, ge=1, description="Seconds to wait for a connection, where the driver knows how to.")
    read_timeout: int = Field(300, ge=1, description="Seconds to wait for an answer, where the driver knows how to.")
    tables: dict[str, SqlTable] = Field(
        min_length=1, description="Table (as declared in the models' sources) -> where it lies."
    )
