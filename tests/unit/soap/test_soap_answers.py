"""Any answer is read exactly, kept, or refused: never a crash, never a row that is gone without a word."""

from functools import cache
from itertools import pairwise
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.soap_server.contract import WSDLS
from tests.soap_server.server import SOAP_11, SOAP_12, envelope
from tests.soap_server.services import ENCODING, ITEMS, SALES, sale
from topline.errors import SourceHalted, TransientError
from topline.schema import Column, TableSchema, Type
from topline.sources.polled import Record
from topline.sources.soap.answer import Reading
from topline.sources.soap.http import Http, Reply
from topline.sources.soap.mending import mended
from topline.sources.soap.settings import SoapSettings
from topline.sources.soap.wsdl import Wsdl

SALE = TableSchema("p.sales", tuple(Column(name, Type.TEXT) for name in ("id", "value", "tag", "branch", "detail")), ("id",))


@cache
def loaded(wsdl: str, port: str, operation: str, rows: str) -> tuple[Reading, Wsdl, Any]:
    given = {"kind": "soap", "wsdl": wsdl, "port": port, "address": "http://127.0.0.1:9/"}
    made = SoapSettings.model_validate({**given, "tables": {"sales": {"operation": operation, "rows": rows}}})
    found = Wsdl(made, WSDLS, Http(made, WSDLS))
    return Reading(SALE, made.tables["sales"]), found, found.operation(operation)


def read(body: bytes) -> tuple[Record, ...]:
    reading, wsdl, operation = loaded("sales.wsdl", "Sales11", "ListSales", "ListSalesResult.Sales.Sale")
    return reading.read(wsdl, operation, Reply(200, "text/xml", body), "").records


def again(raw: bytes) -> Record:
    reading, wsdl, operation = loaded("sales.wsdl", "Sales11", "ListSales", "ListSalesResult.Sales.Sale")
    return reading.again(raw, wsdl, operation)


def answer(rows: str, soap: str = SOAP_11) -> bytes:
    result = f"<s:ListSalesResult><s:Sales>{rows}</s:Sales></s:ListSalesResult>"
    return envelope(soap, f"<s:ListSalesResponse>{result}</s:ListSalesResponse>", f'xmlns:s="{SALES}"').body


def raw(record: Record) -> bytes:
    return record.raw if isinstance(record.raw, bytes) else record.raw(record.values)


LETTERS = st.characters(codec="utf-8", exclude_characters="￾￿", exclude_categories=("Cc", "Cs"))
TEXTS = st.text(LETTERS | st.sampled_from("\t\n"))
WRITTEN = st.tuples(TEXTS, st.none() | TEXTS, st.lists(TEXTS, max_size=3), st.none() | TEXTS)


def spelled(key: str, value: str | None, tags: list[str], branch: str | None) -> str:
    """A Sale, its tags as CDATA where they can be."""
    parts = (f"<![CDATA[{tag}]]>" if "]]>" not in tag else escape(tag) for tag in tags)
    written = sale(key, value, "".join(f"<s:tag>{part}</s:tag>" for part in parts))
    return written if branch is None else written.replace("<s:Sale", f"<s:Sale branch={quoteattr(branch)}", 1)


@settings(deadline=None)
@given(st.lists(WRITTEN, max_size=5), st.sampled_from([SOAP_11, SOAP_12]))
def test_what_was_written_is_read(rows: list[tuple[str, str | None, list[str], str | None]], soap: str) -> None:
    found = read(answer("".join(spelled(*row) for row in rows), soap))
    assert not [record.fault for record in found if record.fault]
    assert [(r.values["id"], r.values["value"], r.values["tag"] or [], r.values["branch"]) for r in found] == rows
    for record in found:
        assert again(raw(record)).values == record.values


PIECES = st.sampled_from(
    b"|<|>|</|/>|&|&amp;|&#0;|\0|\xff|\"| xsi:nil='true'|<!--|]]>|<![CDATA[|<?x?>|xmlns:s=''|s:|soap:|<s:id>7</s:id>|<s:Sale/>|"
    b"<s:Sale><s:id>8</s:id></s:Sale>|</s:Sale><s:Sale>".split(b"|")
)
ROWS = [sale(f"row {n}", "AT&T é", "<s:tag>a</s:tag><s:detail><x y='1'>z</x></s:detail>", branch="B") for n in range(3)]
WHOLE = answer("".join(ROWS))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good answer, cut, doubled or written into at a few places."""
    data = WHOLE
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 12)))
        piece = draw(PIECES | st.binary(max_size=3) | st.just(data[begin:end] * 2))
        data = data[:begin] + piece + data[end:]
    return data


@settings(deadline=None)
@given(damaged())
def test_a_damaged_answer_is_read_kept_or_tried_again(data: bytes) -> None:
    """Where it is read at all, each element of a row is a record, and each that cannot be read has its bytes and a reason."""
    try:
        found = read(data)
    except (TransientError, SourceHalted):
        return
    for record in found:
        kept = raw(record)
        assert kept
        if not record.fault:
            assert again(kept).values == record.values
    root = etree.fromstring(mended(data)[0], etree.XMLParser(remove_comments=True, remove_pis=True))
    assert len(found) == root.xpath("count(//*[local-name()='ListSalesResult']/*[local-name()='Sales']/*[local-name()='Sale'])")


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_any_bytes_can_be_kept_as_a_letter_and_looked_at_again(data: bytes) -> None:
    record = again(data)
    assert record.fault or record.values


KNOTS = st.sampled_from(["href='#a'", "href='#b'", "id='a'", "id='b'", "enc:arrayType='i:Item[1]'", "xsi:type='i:Item'"])


@settings(deadline=None)
@given(st.lists(KNOTS, max_size=8))
def test_references_in_any_tangle_end(knots: list[str]) -> None:
    elements = "".join(f"<multiRef {one}><id {other}>1</id></multiRef>" for one, other in pairwise(knots))
    content = f"<i:listResponse><return {' '.join(knots[:1])}>{elements}</return></i:listResponse>{elements}"
    body = envelope(SOAP_11, content, f'xmlns:i="{ITEMS}" xmlns:enc="{ENCODING}"').body
    reading, wsdl, operation = loaded("rpc.wsdl", "Encoded", "list", "return")
    try:
        found = reading.read(wsdl, operation, Reply(200, "text/xml", body), "").records
    except SourceHalted:
        return
    assert all(raw(record) for record in found)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_mending_covers_in_place(data: bytes) -> None:
    covered, spans = mended(data)
    assert len(covered) == len(data)
    assert (covered == data) == (not spans or all(data[begin:end] == b"?" * (end - begin) for begin, end in spans))
    assert mended(covered)[1] == []


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_what_xml_can_hold_is_never_covered(text: str, comment: str) -> None:
    inside = text.replace("]]>", "")
    data = f"<a b={quoteattr(text)}>{escape(text)}<![CDATA[{inside} & &#0;]]><!-- & {comment.replace('-', '')} --></a>".encode()
    assert mended(data) == (data, [])
