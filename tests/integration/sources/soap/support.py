"""A table read from the test server, as a few words."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.polling import until
from tests.soap_server.contract import WSDLS
from tests.soap_server.server import SoapServer
from topline.changes import DELETE, DeadLetter
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.polled import Feed, PolledSource, Record
from topline.sources.soap import Settings, create
from topline.sources.soap.feed import SoapFeed
from topline.sources.soap.service import Service

ROWS = "ListSalesResult.Sales.Sale"


def schema(*columns: str, key: tuple[str, ...] = ("id",), **typed: Type) -> TableSchema:
    """Columns of TEXT by name, and others by `name=Type`."""
    declared = [Column(name, Type.TEXT) for name in columns] + [Column(name, type_) for name, type_ in typed.items()]
    return TableSchema("partner.sales", tuple(declared), key)


SALE = schema("id", "value")


def table(**settings: Any) -> dict[str, Any]:
    """Settings of the table over sales.wsdl."""
    return {"operation": "ListSales", "rows": ROWS, **settings}


def settings(server: SoapServer, *, one: Mapping[str, Any] | None = None, **others: Any) -> Settings:
    """Settings over the WSDL that the server has; `one`: those of the table."""
    given = {"kind": "soap", "wsdl": f"{server.url}/wsdl/sales.wsdl", "every": 0.05, **others}
    return Settings.model_validate({**given, "tables": {"sales": one or table()}})


def feed(made: Settings, declared: TableSchema = SALE, root: Path = WSDLS) -> SoapFeed:
    return SoapFeed(declared, made.tables["sales"], Service(made, root), made.tz)


def records(of: Feed, since: str | None = None) -> list[Record]:
    """All of one poll."""
    try:
        return [record for page in of.pages(since) for record in page.records]
    finally:
        of.close()


def values(of: Feed, since: str | None = None) -> list[dict[str, object]]:
    """Their values; none may be odd."""
    found = records(of, since)
    assert not [record.fault for record in found if record.fault]
    return [dict(record.values) for record in found]


def raw(record: Record) -> bytes:
    return record.raw if isinstance(record.raw, bytes) else record.raw(record.values)


class Reader:
    """A source that is read until it rests; `rows` by key (of the first column), as the log would have them."""

    def __init__(self, made: Settings, declared: TableSchema, state: Path) -> None:
        self.source: PolledSource = create(Context("partner", {"sales": declared}, WSDLS, state), made)
        self.rows: dict[str, dict[str, object]] = {}
        self.letters: list[DeadLetter] = []
        self.source.open(Resume())

    def until(self, condition: Callable[["Reader"], bool]) -> None:
        until(lambda: self._read() and condition(self), what="the rows are as expected")

    def to_end(self) -> "Reader":
        self.until(lambda reader: reader.source.reached_end())
        return self

    def _read(self) -> bool:
        batch = self.source.read(1000, 0.05)
        if batch is None:
            return True
        self.letters += batch.dead_letters
        for part in batch.parts:
            for row, op in zip(part.rows.to_pylist(), part.ops.tolist(), strict=True):  # type: ignore[union-attr]
                key = row[part.rows.column_names[0]]  # type: ignore[union-attr]
                self.rows.pop(key, None) if op == DELETE else self.rows.update({key: row})
        return True
