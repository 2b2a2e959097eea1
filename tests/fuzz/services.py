"""Answers of REST and SOAP services that are nearly right: each record of an answer is a row or a letter, or the poll fails."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from lxml import etree

from tests.fuzz.readers import TABLE
from tests.servers.http import Reply, Server
from tests.soap_server.server import Reply as SoapReply
from tests.soap_server.server import SoapServer
from tests.soap_server.services import SALES, sale
from topline.errors import SourceHalted, TransientError
from topline.sources import rest, soap
from topline.sources.base import Context
from topline.sources.polled.feed import Feed
from topline.sources.polled.records import TableShape
from topline.sources.polled.settings import PolledTable
from topline.sources.polled.source import PolledSource

Check = Callable[[bytes], None]
_OBJECTS = (
    b'{"id": "a", "value": "1"}',
    b'{"id": "b", "value": [1, {"c": "}"}]}',
    b'{"value": 1.10, "id": 5}',
    b'{"value": 1}',
)
SEEDS = {
    "rest json": (b"[" + b",\n".join(_OBJECTS) + b"]", b'{"data": [' + _OBJECTS[0] + b"]}", b"[]"),
    "rest ndjson": (b"\n".join(_OBJECTS) + b"\n", b"\r\n".join(_OBJECTS), b""),
    "rest csv": (b'id,value\na,1\n"b","x, y"\r\nc,"two\nlines"\n', b"id,value\n"),
    "soap": tuple(
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="{SALES}"><s:Body><t:ListSalesResponse>'
        f"<t:ListSalesResult><t:Sales>{rows.replace('s:', 't:')}</t:Sales></t:ListSalesResult></t:ListSalesResponse></s:Body>"
        "</s:Envelope>".encode()
        for rows in (sale("1", "a") + sale("2", "ü & <") + sale(None, "no key"), sale("3", ""), "")
    ),
}


@contextmanager
def checks(folder: Path) -> Iterator[dict[str, Check]]:
    """What to do with an answer, by the name of its seeds. Servers run meanwhile."""
    with ExitStack() as stack:
        answers = Server(lambda _: Reply())
        stack.callback(answers.close)

        def answered(body: bytes) -> None:
            answers.app = lambda _: Reply(body)

        found: dict[str, Check] = {}
        for name in ("json", "ndjson", "csv"):
            table = {"path": "/things", "format": name}
            settings = {"kind": "rest", "url": answers.url, "every": 60, "tables": {"things": table}}
            source = rest.create(_context(folder), rest.Settings.model_validate(settings))
            found[f"rest {name}"] = _check(stack, folder, source, answered, _counted_json if name == "json" else _uncounted)
        found["soap"] = _soap(stack, folder)
        yield found


def _soap(stack: ExitStack, folder: Path) -> Check:
    server = SoapServer()
    stack.callback(server.close)
    table = {"operation": "ListSales", "arguments": {"page": "1", "size": "100"}, "rows": "ListSalesResult.Sales.Sale"}
    settings = {"kind": "soap", "wsdl": f"{server.url}/wsdl/sales.wsdl", "every": 60, "tables": {"things": table}}
    source = soap.create(_context(folder), soap.Settings.model_validate(settings))

    def answered(body: bytes) -> None:
        server.services["/sales"] = lambda _call: SoapReply(body)

    return _check(stack, folder, source, answered, _counted_soap)


def _context(folder: Path) -> Context:
    return Context("origin", {"things": TABLE}, folder, folder)


def _check(
    stack: ExitStack, folder: Path, source: PolledSource, answered: Check, counted: Callable[[bytes], int | None]
) -> Check:
    feed: Feed = source._feed("things")
    stack.callback(feed.close)
    shape = TableShape(TABLE, PolledTable(), ZoneInfo("UTC"), folder)

    def check(body: bytes) -> None:
        answered(body)
        wanted = counted(body)
        try:
            records = [record for page in feed.pages(None) for record in page.records]
        except (TransientError, SourceHalted):
            return
        rows, unreadable = shape.read(records)
        assert len(rows.keys) + len(unreadable) == len(records)
        assert wanted is None or wanted == len(records), (wanted, len(records))

    return check


def _counted_json(body: bytes) -> int | None:
    """Elements of a list, as Python reads it; None where it is no list of objects."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(document, list) and all(isinstance(one, dict) for one in document)
    return len(document) if whole else None


def _counted_soap(body: bytes) -> int | None:
    """Sales in an answer, as a strict reader of XML sees it; None where it is no such answer, or one of another namespace,
    which is read all the same."""
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False))
    except (etree.XMLSyntaxError, ValueError):
        return None
    path = ("Body", "ListSalesResponse", "ListSalesResult", "Sales")
    found = [root]
    for name in path:
        found = [child for one in found for child in one if etree.QName(child).localname == name] if found else []
    sales = [etree.QName(child) for one in found for child in one if etree.QName(child).localname == "Sale"]
    return len(sales) if len(found) == 1 and all(name.namespace == SALES for name in sales) else None


def _uncounted(_body: bytes) -> int | None:
    return None
