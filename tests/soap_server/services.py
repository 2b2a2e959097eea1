"""What the test server answers: three services, each by its WSDL, over rows that a test puts into them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from tests.soap_server.contract import Contract
from tests.soap_server.server import SOAP_11, Call, Reply, envelope, fault

SALES, LEDGER, ITEMS = "urn:example:sales", "urn:example:ledger", "urn:example:items"
ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"


@dataclass
class SalesService:
    """Document/literal, wrapped (sales.wsdl). `rows` are XML of a Sale each, made by `sale`; `updated` stands in them.

    strict  answers are held to the schema too: turned off for rows that break it
    guard   looks at each call first; a fault that it gives is the answer
    """

    rows: list[str] = field(default_factory=list)
    strict: bool = True
    guard: Callable[[Call], Reply | None] = lambda _call: None
    says: str = ""  # further elements of the result, such as <s:more>true</s:more>
    contract: Contract = field(default_factory=lambda: Contract("types/sales.xsd"))

    def __call__(self, call: Call) -> Reply:
        if (refusal := self.guard(call)) is not None:
            return refusal
        if call.payload is None or call.payload.tag != f"{{{SALES}}}ListSales":
            return fault(call.soap or SOAP_11, "soap:Client", "ListSales is expected")
        try:
            self.contract.valid(call.payload)
        except ValueError as error:
            return fault(call.soap, "soap:Client", escape(str(error)))
        rows, says = self._page(call.payload)
        return self.answer(call.soap, rows, says + self.says)

    def answer(self, soap: str, rows: list[str], says: str = "") -> Reply:
        sales = f"<s:Sales>{''.join(rows)}</s:Sales>"
        result = f"<s:ListSalesResponse><s:ListSalesResult>{sales}{says}</s:ListSalesResult></s:ListSalesResponse>"
        reply = envelope(soap, result, f'xmlns:s="{SALES}"')
        if self.strict:
            self.contract.valid(etree.fromstring(reply.body)[0][0])
        return reply

    def _page(self, request: etree._Element) -> tuple[list[str], str]:
        asked = {etree.QName(child).localname: child.text or "" for child in request}
        rows = [row for row in self.rows if _not_before(row, asked.get("since"))]
        if "size" not in asked:
            return rows, ""
        size = int(asked["size"])
        begin = int(asked.get("token") or asked.get("offset") or (int(asked.get("page", "1")) - 1) * size)
        more = len(rows) > begin + size
        says = f"<s:more>{str(more).lower()}</s:more>" + (f"<s:next>{begin + size}</s:next>" if more else "")
        return rows[begin : begin + size], says


def _not_before(row: str, since: str | None) -> bool:
    updated = row.partition("<s:updated>")[2].partition("</s:updated>")[0]
    return not since or not updated or datetime.fromisoformat(updated) >= datetime.fromisoformat(since)


def sale(id_: str | None, value: str | None = "", more: str = "", **simple: str) -> str:
    """XML of a Sale; None is left out as an id, and nil as a value. `more`: what comes behind, as it stands."""
    attributes = "".join(f" {name}={quoteattr(text)}" for name, text in simple.items() if name == "branch")
    parts = "" if id_ is None else f"<s:id>{escape(id_)}</s:id>"
    parts += '<s:value xsi:nil="true"/>' if value is None else f"<s:value>{escape(value)}</s:value>"
    parts += "".join(f"<s:{name}>{escape(text)}</s:{name}>" for name, text in simple.items() if name != "branch")
    return f"<s:Sale{attributes}>{parts}{more}</s:Sale>"


@dataclass
class LedgerService:
    """Document/literal, bare (bare.wsdl): the request is one text, the name of a book. One operation answers in two parts."""

    books: dict[str, list[str]] = field(default_factory=dict)
    contract: Contract = field(default_factory=lambda: Contract("bare.wsdl"))

    def __call__(self, call: Call) -> Reply:
        assert call.payload is not None
        self.contract.valid(call.payload)
        entries = "".join(self.books.get(call.payload.text or "", []))
        total = f'<l:sum xmlns:l="{LEDGER}">7.10</l:sum>' if call.headers.get("soapaction") == '"sum"' else ""
        reply = envelope(call.soap, f'{total}<l:entries xmlns:l="{LEDGER}">{entries}</l:entries>')
        for part in etree.fromstring(reply.body)[0]:
            self.contract.valid(part)
        return reply


@dataclass
class ItemsService:
    """rpc (rpc.wsdl). `answer` is what stands in the body: tests write it as the encoding allows, in its many ways."""

    encoded: bool
    answer: str = ""

    def __call__(self, call: Call) -> Reply:
        request = call.payload
        assert request is not None
        parts = {str(child.tag): child for child in request}
        if request.tag != f"{{{ITEMS}}}list" or set(parts) - {"since", "limit"}:
            return fault(call.soap, "soap:Client", f"list(since, limit) is expected, not {escape(str(request.tag))}")
        if any(not (part.text or "").isdigit() for part in parts.values()):
            return fault(call.soap, "soap:Client", "since and limit are xsd:int")
        return envelope(call.soap, self.answer, f'xmlns:i="{ITEMS}" xmlns:enc="{ENCODING}"')
