"""The SOAP source keeps the standard."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from tests.soap_server.server import SoapServer
from tests.soap_server.services import SalesService, sale
from topline.sources.base import Context, Source
from topline.sources.soap import Settings, create


class SoapOrigin(Origin):
    """A service that lists everything, page by page; what is missing from the list is gone."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "a service has no transactions that a caller sees: rows become visible page by page",
    }

    def __init__(self, root: Path) -> None:
        self._root, self._server, self._service = root, SoapServer(), SalesService()
        self._server.services["/sales"] = self._service
        self._rows: dict[str, str | None] = {}

    def source(self) -> Source:
        given = {"kind": "soap", "wsdl": f"{self._server.url}/wsdl/sales.wsdl", "every": 0.02}
        settings = Settings.model_validate({**given, "tables": {"things": self._table()}})
        return create(Context("origin", {"things": TABLE}, self._root, self._root / ".topline"), settings)

    def _table(self) -> dict[str, Any]:
        return {
            "operation": "ListSales",
            "arguments": {"page": "{page}", "size": "{page_size}"},
            "paging": {"size": 4, "more": "ListSalesResult.more"},
            "rows": "ListSalesResult.Sales.Sale",
        }

    def put(self, rows: Mapping[str, str | None]) -> None:
        self._rows |= rows
        self._show()

    def delete(self, ids: Sequence[str]) -> None:
        self._rows = {key: value for key, value in self._rows.items() if key not in ids}
        self._show()

    def interrupt(self) -> None:
        self._server.stop()

    def mend(self) -> None:
        self._server.start()

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        raw = '<Sale xmlns="urn:example:sales" odd="&#233;"><id>1</id><value>no</value ><id>2</id></Sale>'
        self._service.strict = False
        first, *others = good.items()
        self._rows |= dict([first])
        self._show()
        self._service.rows += [raw, *(sale(key, value) for key, value in others)]
        return raw.encode()

    def close(self) -> None:
        self._server.close()

    def _show(self) -> None:
        self._service.rows = [sale(key, value) for key, value in self._rows.items()]


class SoapCursorOrigin(SoapOrigin):
    """A service that gives what changed since a time; what is gone it gives too, with a flag."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)
        self._sales: dict[str, str] = {}

    def _table(self) -> dict[str, Any]:
        return {
            **super()._table(),
            "arguments": {"since": "{cursor}", "token": "{token}", "size": "3"},
            "paging": {"next": "ListSalesResult.next"},
            "cursor": {"field": "updated", "overlap": 1},
            "deleted": {"field": "deleted"},
            "ordered": True,
        }

    def put(self, rows: Mapping[str, str | None]) -> None:
        for key, value in rows.items():
            self._give(key, sale(key, value, updated=self._tick()))

    def delete(self, ids: Sequence[str]) -> None:
        for key in ids:
            self._give(key, sale(key, "gone", updated=self._tick(), deleted="true"))

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        self._service.strict = False
        (first, value), *others = good.items()
        self.put({first: value})
        raw = f"<Sale odd='1'><id>1</id><updated>{self._tick()}</updated ><id>2</id></Sale>"
        self._give("odd", raw)
        self.put(dict(others))
        return raw.encode()

    def _tick(self) -> str:
        self._clock += timedelta(seconds=10)
        return self._clock.isoformat()

    def _give(self, key: str, written: str) -> None:
        """Behind all that was given before."""
        self._sales.pop(key, None)
        self._sales[key] = written
        self._service.rows = list(self._sales.values())


class TestSoap(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Iterator[Origin]:
        origin = SoapOrigin(tmp_path)
        yield origin
        origin.close()


class TestSoapByCursor(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Iterator[Origin]:
        origin = SoapCursorOrigin(tmp_path)
        yield origin
        origin.close()
