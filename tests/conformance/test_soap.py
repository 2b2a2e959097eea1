"""The SOAP source keeps the standard."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

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
        table = {
            "operation": "ListSales",
            "arguments": {"page": "{page}", "size": "{page_size}"},
            "paging": {"size": 4, "more": "ListSalesResult.more"},
            "rows": "ListSalesResult.Sales.Sale",
        }
        wsdl = f"{self._server.url}/wsdl/sales.wsdl"
        settings = Settings.model_validate({"kind": "soap", "wsdl": wsdl, "every": 0.02, "tables": {"things": table}})
        return create(Context("origin", {"things": TABLE}, self._root, self._root / ".topline"), settings)

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


class TestSoap(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Iterator[Origin]:
        origin = SoapOrigin(tmp_path)
        yield origin
        origin.close()
