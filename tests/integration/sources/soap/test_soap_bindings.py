"""The ways to write a SOAP message: 1.1 and 1.2, wrapped, bare, rpc/literal, rpc/encoded with its arrays and references."""

from typing import Any

import pytest

from tests.integration.sources.soap.support import feed, raw, records, schema, settings, table, values
from tests.soap_server.server import SOAP_11, SOAP_12, SoapServer, envelope
from tests.soap_server.services import SALES, ItemsService, LedgerService, SalesService, sale
from topline.errors import SourceHalted

ITEM = schema("id", "value", "amount")
TWO = [{"id": "1", "value": "a", "amount": "1.10"}, {"id": "2", "value": None, "amount": None}]


@pytest.mark.parametrize(
    ("port", "soap", "content_type"),
    [("Sales11", SOAP_11, "text/xml"), ("Sales12", SOAP_12, 'action="urn:example:sales/ListSales"')],
)
def test_both_versions_of_soap(server: SoapServer, sales: SalesService, port: str, soap: str, content_type: str) -> None:
    sales.rows = [sale("1", "a")]
    assert values(feed(settings(server, port=port))) == [{"id": "1", "value": "a"}]
    assert server.calls[0].soap == soap
    assert content_type in server.calls[0].headers["content-type"]


def test_bare_messages_of_a_service_among_several(server: SoapServer) -> None:
    entry = '<entry><id>1</id><value>a</value><f:later xmlns:f="urn:f">x</f:later></entry>'
    server.services["/bare"] = LedgerService({"2026": [entry]})
    one = {"operation": "Entries", "arguments": {"value": "2026"}, "rows": "entry"}
    made = settings(server, one=one, wsdl=f"{server.url}/wsdl/bare.wsdl", service="Ledger")
    assert values(feed(made, schema("id", "value", "later"))) == [{"id": "1", "value": "a", "later": "x"}]
    assert feed(made).check() == []


def test_an_answer_of_several_parts(server: SoapServer) -> None:
    """They stand side by side in the body, and paths begin there."""
    server.services["/bare"] = LedgerService({"2026": ["<entry><id>1</id></entry>", "<entry><id>2</id></entry>"]})
    one = {"operation": "EntriesAndSum", "arguments": {"value": "2026"}, "rows": "entries.entry"}
    made = settings(server, one=one, wsdl=f"{server.url}/wsdl/bare.wsdl", service="Ledger")
    assert [row["id"] for row in values(feed(made))] == ["1", "2"]
    assert feed(made).check() == []


def items(server: SoapServer, port: str, answer: str, **one: Any) -> Any:
    server.services[f"/{port.lower()}"] = ItemsService(port == "Encoded", answer)
    given = {"operation": "list", "arguments": {"since": "0", "limit": 10}, "rows": "return", **one}
    return feed(settings(server, one=given, wsdl=f"{server.url}/wsdl/rpc.wsdl", port=port), ITEM)


FIRST = "<id>1</id><value>a</value><amount>1.10</amount>"
SECOND = '<id>2</id><value xsi:nil="1"/>'


def test_rpc_literal(server: SoapServer) -> None:
    rows = f"<return><item>{FIRST}</item><item>{SECOND}</item></return><count>2</count>"
    made = items(server, "Literal", f"<i:listResponse>{rows}</i:listResponse>", rows="return.item")
    assert values(made) == TWO


ENCODED = {
    "in place": f"""<i:listResponse><return xsi:type="enc:Array" enc:arrayType="i:Item[2]">
        <item xsi:type="i:Item">{FIRST}</item><item xsi:type="i:Item">{SECOND}</item></return>
        <count xsi:type="xsd:int">2</count></i:listResponse>""",
    "without types": f"<i:listResponse><return><a>{FIRST}</a><b>{SECOND}</b></return><count>2</count></i:listResponse>",
    "by reference": f"""<i:listResponse><return href="#list"/><count>2</count></i:listResponse>
        <multiRef id="list" enc:root="0" xsi:type="enc:Array" enc:arrayType="q:Item[2]" xmlns:q="urn:example:items">
        <item href="#one"/><item href="#two"/></multiRef>
        <multiRef id="two" enc:root="0" xsi:type="q:Item" xmlns:q="urn:example:items">{SECOND}</multiRef>
        <multiRef id="one" enc:root="0"><id>1</id><value href="#text"/><amount>1.10</amount></multiRef>
        <multiRef id="text" xsi:type="xsd:string">a</multiRef>""",
    "by reference, to types of their own": f"""<i:listResponse><return enc:arrayType="xsd:anyType[2]">
        <item href="#one"/><item href="#two"/></return></i:listResponse>
        <multiRef id="two" xsi:type="q:Item" xmlns:q="urn:example:items">{SECOND}</multiRef>
        <multiRef id="one" xsi:type="q:Item" xmlns:q="urn:example:items">{FIRST.replace("1.10", " 1.10 ")}</multiRef>""",
    "typed elements": f"""<i:listResponse><return enc:arrayType="xsd:anyType[2]">
        <i:Item xsi:type="i:Item">{FIRST}</i:Item><i:Item xsi:type="i:Item">{SECOND}</i:Item></return></i:listResponse>""",
}


@pytest.mark.parametrize("way", ENCODED)
def test_rpc_encoded_arrays(server: SoapServer, way: str) -> None:
    assert values(items(server, "Encoded", ENCODED[way])) == TWO


def test_an_array_of_one_and_of_none(server: SoapServer) -> None:
    array = '<i:listResponse><return xsi:type="enc:Array" enc:arrayType="i:Item[]">{}</return></i:listResponse>'
    assert values(items(server, "Encoded", array.format(f"<item>{FIRST}</item>"))) == TWO[:1]
    assert values(items(server, "Encoded", array.format(""))) == []
    assert values(items(server, "Encoded", '<i:listResponse><return xsi:nil="true"/></i:listResponse>')) == []


def test_a_letter_of_an_encoded_row_holds_what_it_referred_to(server: SoapServer) -> None:
    answer = """<i:listResponse><return xsi:type="enc:Array"><item href="#one"/></return></i:listResponse>
        <multiRef id="one"><id>1</id><id href="#x"/></multiRef><multiRef id="x">deep</multiRef>"""
    typed = answer.replace('enc:Array"', 'enc:Array" enc:arrayType="i:Item[1]"')
    [record] = records(items(server, "Encoded", typed))
    assert "id stands there 2 times" in record.fault
    assert b"<id>deep</id>" in raw(record)
    assert b"href" not in raw(record)


@pytest.mark.parametrize(
    ("references", "problem"),
    [
        ('<multiRef id="a"><x href="#b"/></multiRef><multiRef id="b"><x href="#a"/></multiRef>', "lead to themselves"),
        (
            "".join(f'<multiRef id="{chr(97 + n)}">' + f'<x href="#{chr(98 + n)}"/>' * 10 + "</multiRef>" for n in range(9)),
            "multiply",
        ),
    ],
)
def test_references_that_never_end_are_refused(server: SoapServer, references: str, problem: str) -> None:
    answer = f'<i:listResponse><return href="#a"/></i:listResponse>{references}<multiRef id="j">z</multiRef>'
    with pytest.raises(SourceHalted, match=problem):
        records(items(server, "Encoded", answer))


def test_arguments_are_written_as_the_schema_has_them(server: SoapServer, sales: SalesService) -> None:
    """The server holds each request to its schema: a choice, repeated elements, an attribute, values of any type."""
    extra = {"xsi:type": "{urn:example:sales}Money", "_value_1": "1.10", "currency": "EUR"}
    argument = {"country": "IT", "note": ["a", "b & c"], "extra": extra, "mode": "m"}
    records(feed(settings(server, one=table(arguments={"filter": argument}))))
    argument["extra"] = {"xsi:type": "xsd:decimal", "#text": "1.10"}
    records(feed(settings(server, one=table(arguments={"filter": argument}))))
    first, second = (call.body.decode() for call in server.calls)
    assert 'mode="m"' in first
    assert "<ns0:country>IT</ns0:country><ns0:note>a</ns0:note><ns0:note>b &amp; c</ns0:note>" in first
    assert 'Money" currency="EUR">1.10<' in first.replace("ns0:", "") or 'currency="EUR"' in first
    assert 'xsi:type="xs:decimal">1.10<' in second


def test_soap_headers_declared_and_free(server: SoapServer, sales: SalesService) -> None:
    headers = {"caller": {"name": "topline", "key": "k&1"}, "{urn:free}Trace": {"id": 7, "tag": ["a", "b"], "on": True}}
    records(feed(settings(server, port="Sales11", soap_headers=headers)))
    header = server.calls[0].header
    assert header is not None
    assert header.findtext("{urn:example:sales}Caller/{urn:example:sales}key") == "k&1"
    assert [child.text for child in header.iterfind("{urn:free}Trace/*")] == ["7", "a", "b", "true"]


def test_a_soap_header_that_only_the_schema_declares_is_written_by_it(server: SoapServer, sales: SalesService) -> None:
    made = settings(server, port="Sales12", soap_headers={f"{{{SALES}}}Caller": {"key": "k", "name": "n"}})
    records(feed(made))
    header = server.calls[0].header
    assert header is not None
    assert [child.text for child in header.iterfind(f"{{{SALES}}}Caller/*")] == ["n", "k"]


def test_an_unknown_soap_header_says_which_there_are(server: SoapServer, sales: SalesService) -> None:
    with pytest.raises(SourceHalted, match=r"no such header \(it has caller\); write \{namespace\}cller"):
        records(feed(settings(server, port="Sales11", soap_headers={"cller": {}})))


def test_another_element_than_the_wsdl_says_halts(server: SoapServer) -> None:
    server.services["/sales"] = lambda call: envelope(call.soap, '<x:Other xmlns:x="urn:x"/>')
    with pytest.raises(SourceHalted, match=r"answers with <Other>, where the WSDL says <ListSalesResponse>"):
        records(feed(settings(server)))


@pytest.mark.parametrize("rows", [1, 2])
def test_an_answer_that_brings_its_own_schema(server: SoapServer, rows: int) -> None:
    """The DataSet of .NET; from a WSDL without a service, which imports well-known schemas that nobody is asked for."""
    table = "".join(f'<Table d:id="T{n}" xmlns:d="urn:d"><id>{n}</id><value>v</value></Table>' for n in range(rows))
    data = f'<g:diffgram xmlns:g="urn:g"><NewDataSet xmlns="">{table}</NewDataSet></g:diffgram>'
    result = f'<ReportResult><xsd:schema id="NewDataSet"/>{data}</ReportResult>'
    server.services["/report"] = lambda call: envelope(
        call.soap, f'<ReportResponse xmlns="urn:example:reports">{result}</ReportResponse>'
    )
    one = {"operation": "Report", "rows": "ReportResult.diffgram.NewDataSet.Table"}
    made = settings(server, one=one, wsdl="dataset.wsdl", address=f"{server.url}/report")
    assert feed(made).check() == []
    assert values(feed(made)) == [{"id": str(n), "value": "v"} for n in range(rows)]
    assert server.calls[0].headers["content-type"] == "application/soap+xml; charset=utf-8"
