"""The partner's service, asked by an independent client (zeep, from the WSDL) and by bare HTTP."""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zeep
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from zeep.exceptions import Fault, ValidationError

from tests.polling import until
from topline.embedded.partner import Book, Entry, PartnerService, book_of, stamp
from topline.errors import StateError

FULL = Entry("P1", "2026-11-21T10:00:00.250Z", "P1", "21.11.2026", "Türkiye", "Łódź", "Zoë & <Co>", "7", "花子", "1,5", "EUR")
NOTHING = dict.fromkeys(field.name for field in fields(Entry) if field.name not in ("id", "changed_at", "state"))
BARE = replace(FULL, id="P2", state="C", **NOTHING)  # type: ignore[arg-type]
NAMES = ("EntryNo", "SoldOn", "Country", "District", "Town", "AgentNo", "AgentName", "Amount", "Currency")
ENVELOPE = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>{}</s:Body></s:Envelope>'
ASK = '<GetSales xmlns="http://partner.example/sales/2004">{}</GetSales>'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return book_of(tmp_path, "partner")


@pytest.fixture
def book(path: Path) -> Iterator[Book]:
    with Book.open(path) as book:
        yield book


@pytest.fixture
def service(path: Path) -> Iterator[PartnerService]:
    with PartnerService(path) as service:
        yield service


@pytest.fixture
def get_sales(service: PartnerService) -> Callable[..., Any]:
    client: Any = zeep
    return client.Client(service.wsdl).service.GetSales  # type: ignore[no-any-return]


def entry(number: int, changed: int) -> Entry:
    return replace(FULL, id=f"P{number}", entry_no=f"P{number}", changed_at=stamp(datetime.fromtimestamp(changed / 1000, UTC)))


def test_an_entry_comes_as_it_was_noted_and_what_is_missing_is_missing(book: Book, get_sales: Callable[..., Any]) -> None:
    book.put([FULL, BARE])
    first, second = get_sales().Entry
    assert [first[name] for name in NAMES] == ["P1", "21.11.2026", "Türkiye", "Łódź", "Zoë & <Co>", "7", "花子", "1,5", "EUR"]
    assert [second[name] for name in NAMES] == [None] * 9
    assert (first.State, second.State) == ("A", "C")
    assert first.ChangedAt == datetime(2026, 11, 21, 10, 0, 0, 250_000, UTC)


def test_an_empty_book_is_one_empty_page(get_sales: Callable[..., Any]) -> None:
    page = get_sales()
    assert (page.Entry, page.More, page.NextToken) == ([], False, None)


def test_what_changed_since_is_told_whatever_the_offset(book: Book, get_sales: Callable[..., Any]) -> None:
    book.put(entry(number, 1_000 * number) for number in range(10))
    for since in ("1970-01-01T00:00:07Z", "1970-01-01T02:00:07.000+02:00", "1970-01-01T00:00:07"):
        assert [found.EntryNo for found in get_sales(ChangedSince=since).Entry] == ["P7", "P8", "P9"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=st.lists(st.integers(0, 20), max_size=40), size=st.integers(1, 9), since=st.integers(0, 20))
def test_pages_of_any_size_give_every_entry_once_in_order(
    path: Path, get_sales: Callable[..., Any], changed: list[int], size: int, since: int
) -> None:
    path.unlink(missing_ok=True)
    with Book.open(path) as book:
        book.put(entry(number, moment) for number, moment in enumerate(changed))
        found, token, last = [], None, False
        while not last:
            moment = datetime.fromtimestamp(since / 1000, UTC)
            page = get_sales(ChangedSince=moment, PageToken=token, PageSize=size)
            assert len(page.Entry) == size or not page.More
            found += [one.EntryNo for one in page.Entry]
            token, last = page.NextToken, not page.More
    expected = sorted((moment, f"P{number}") for number, moment in enumerate(changed) if moment >= since)
    assert found == [number for _, number in expected]


def test_an_entry_that_changes_between_two_pages_pushes_none_aside(book: Book, get_sales: Callable[..., Any]) -> None:
    book.put(entry(number, number) for number in range(6))
    page = get_sales(PageSize=3)
    book.put([entry(0, 100)])
    rest = get_sales(PageSize=9, PageToken=page.NextToken)
    assert [found.EntryNo for found in (*page.Entry, *rest.Entry)] == ["P0", "P1", "P2", "P3", "P4", "P5", "P0"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"PageSize": 0}, "minimum value"),
        ({"PageSize": 1001}, "maximum value"),
        ({"PageToken": "made up"}, "PageToken is none that this service gave"),
        ({"PageToken": "WzFd"}, "PageToken is none that this service gave"),
        ({"ChangedSince": "0001-01-01T00:00:00+14:00"}, "ChangedSince"),
    ],
)
def test_a_wrong_request_is_the_clients_fault(wrong: dict[str, Any], reason: str, get_sales: Callable[..., Any]) -> None:
    with pytest.raises(Fault, match=reason) as caught:
        get_sales(**wrong)
    assert str(caught.value.code).endswith("Client")


def test_the_client_itself_refuses_what_the_wsdl_does_not_have(get_sales: Callable[..., Any]) -> None:
    with pytest.raises((TypeError, ValidationError)):
        get_sales(Since="2026-11-21")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no XML", "no XML"),
        ("<x/>", "envelope"),
        (ENVELOPE.format(""), "one element"),
        (ENVELOPE.format(ASK.format("") * 2), "one element"),
        (ENVELOPE.format("<GetSales/>"), "No matching global declaration"),
        (ENVELOPE.format(ASK.format("<PageSize>many</PageSize>")), "PageSize"),
        (
            ENVELOPE.format(ASK.format("<PageSize>1</PageSize><ChangedSince>2026-11-21T00:00:00Z</ChangedSince>")),
            "not expected",
        ),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + ENVELOPE.format(ASK.format("<PageToken>&a;</PageToken>")), "document type"),
        (ENVELOPE.format(ASK.format("<PageToken>" + "x" * 70_000 + "</PageToken>")), "Content-Length"),
    ],
)
def test_what_is_not_as_the_schema_says_is_a_fault(service: PartnerService, body: str, reason: str) -> None:
    status, answer = post(service, body)
    fault = etree.fromstring(answer).find(".//{*}Fault")
    assert status == 500
    assert fault is not None
    assert reason in str(fault.findtext("faultstring"))


def post(service: PartnerService, body: str, kind: str = "text/xml; charset=utf-8") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(service.wsdl.split("/")[2], timeout=10)
    connection.request("POST", "/sales", body.encode(), {"Content-Type": kind})
    response = connection.getresponse()
    return response.status, response.read()


def test_soap_12_is_refused(service: PartnerService) -> None:
    assert b"SOAP 1.1" in post(service, ENVELOPE.format(ASK.format("")), "application/soap+xml")[1]


def test_answers_are_as_the_schema_says(service: PartnerService, book: Book) -> None:
    book.put([FULL, BARE])
    _, answer = post(service, ENVELOPE.format(ASK.format("<PageSize>1</PageSize>")))
    connection = http.client.HTTPConnection(service.wsdl.split("/")[2], timeout=10)
    connection.request("GET", "/sales?wsdl")
    (schema,) = etree.fromstring(connection.getresponse().read()).iter("{http://www.w3.org/2001/XMLSchema}schema")
    (content,) = etree.fromstring(answer).findall("{*}Body/*")
    etree.XMLSchema(etree.fromstring(etree.tostring(schema))).assertValid(content)


def test_stopped_it_refuses_and_started_again_it_has_all_at_the_same_address(
    service: PartnerService, book: Book, get_sales: Callable[..., Any]
) -> None:
    book.put([FULL])
    service.stop()
    with pytest.raises(OSError, match="refused"):
        get_sales()
    service.start()
    assert [found.EntryNo for found in get_sales().Entry] == ["P1"]


def test_a_book_that_cannot_be_read_is_the_servers_fault(
    service: PartnerService, book: Book, path: Path, get_sales: Callable[..., Any]
) -> None:
    book.close()
    until(lambda: not path.with_name(f"{path.name}-wal").exists())
    path.write_bytes(b"scribble" * 1000)
    with pytest.raises(Fault, match="the book cannot be read") as caught:
        get_sales()
    assert str(caught.value.code).endswith("Server")


def test_a_book_that_is_none_is_told_at_the_start(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"scribble" * 1000)
    with pytest.raises(StateError, match=r"partner\.sqlite cannot be opened: file is not a database"):
        PartnerService(path).start()
