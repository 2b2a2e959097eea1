"""What goes wrong on the way: faults, statuses, timeouts, broken answers; and what could do harm: DTDs, bombs, redirects."""

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.sources.soap.support import Reader, feed, records, settings
from tests.polling import until
from tests.soap_server.server import SOAP_11, SOAP_12, Reply, SoapServer, envelope, fault
from tests.soap_server.services import SalesService, sale
from topline.errors import SourceHalted, TransientError
from topline.sources.base import Resume
from topline.sources.soap.envelope import body_of
from topline.sources.soap.http import Reply as Answer

HTML = b"<!DOCTYPE html><html><body><p>down for maintenance</body></html>"

FAULTS = [
    (SOAP_11, "soap:Client", SourceHalted),
    (SOAP_11, "Client.Authentication", SourceHalted),
    (SOAP_11, "soap:VersionMismatch", SourceHalted),
    (SOAP_11, "soap:MustUnderstand", SourceHalted),
    (SOAP_11, "soap:Server", TransientError),
    (SOAP_11, "Server.Busy", TransientError),
    (SOAP_11, "E4711", TransientError),
    (SOAP_12, "soap:Sender", SourceHalted),
    (SOAP_12, "soap:DataEncodingUnknown", SourceHalted),
    (SOAP_12, "soap:Receiver", TransientError),
]


@pytest.mark.parametrize(("soap", "code", "kind"), FAULTS)
def test_a_fault_is_ours_or_theirs(server: SoapServer, soap: str, code: str, kind: type[Exception]) -> None:
    server.next_replies.append(fault(soap, code, "a\n  reason"))
    port = "Sales11" if soap == SOAP_11 else "Sales12"
    with pytest.raises(kind, match=rf"sales \(ListSales\): SOAP fault {code}: a reason"):
        records(feed(settings(server, port=port)))


def test_a_fault_with_the_status_200_is_a_fault(server: SoapServer) -> None:
    server.next_replies.append(fault(SOAP_11, "soap:Server", "x", status=200))
    with pytest.raises(TransientError, match="SOAP fault"):
        records(feed(settings(server)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, SourceHalted) for status in (400, 401, 403, 405, 410, 415)),
        *((status, TransientError) for status in (404, 408, 429, 500, 502, 503, 504)),
    ],
)
def test_an_http_status_halts_or_is_tried_again(server: SoapServer, status: int, kind: type[Exception]) -> None:
    server.next_replies.append(Reply(HTML, status, content_type="text/html"))
    with pytest.raises(kind, match=f"HTTP {status}"):
        records(feed(settings(server)))


def test_a_fault_says_more_than_its_status(server: SoapServer) -> None:
    made = fault(SOAP_11, "soap:Server", "come back later")
    server.next_replies.append(Reply(made.body, 400))
    with pytest.raises(TransientError, match="come back later"):
        records(feed(settings(server)))


WHOLE = envelope(SOAP_11, "<x/>").body
BROKEN = {
    "no XML": b"OK",
    "nothing": b"",
    "a web page": HTML,
    "half of it": WHOLE[:-20],
    "two documents": WHOLE + b"<x/>",
    "no envelope": b"<sales/>",
    "an empty envelope": f'<s:Envelope xmlns:s="{SOAP_11}"/>'.encode(),
    "an empty body": envelope(SOAP_11, "").body,
    "undeclared prefix": b"<s:Envelope/>",
    "unknown encoding": b"<?xml version='1.0' encoding='uutf-8'?><x/>",
    "wrong encoding": b"<?xml version='1.0' encoding='utf-8'?><x>\xff</x>",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_is_tried_again_and_retracts_nothing(
    server: SoapServer, sales: SalesService, tmp_path: Any, body: bytes
) -> None:
    sales.rows = [sale("1")]
    reader = Reader(settings(server), feed(settings(server)).schema, tmp_path).to_end()
    server.next_replies.append(Reply(body))
    with pytest.raises(TransientError):
        reader.until(lambda _: False)
    assert list(reader.rows) == ["1"]


@pytest.fixture
def silent(server: SoapServer, sales: SalesService) -> Iterator[SoapServer]:
    sales.rows = [sale("1")]
    yield server
    server.released.set()


@pytest.mark.parametrize(
    ("way", "timeouts", "problem"),
    [
        ("silent", {"read": 0.2}, r"not a byte within timeouts\.read, 0\.2 s"),
        ("trickle", {"read": 0.2, "total": 0.5}, r"no whole answer within timeouts\.total, 0\.5 s"),
        ("trickled headers", {"read": 0.2, "total": 0.5}, r"no whole answer within timeouts\.total, 0\.5 s"),
        ("truncated", {}, "without sending complete message body|peer closed"),
        ("reset", {}, "disconnected|reset"),
    ],
)
def test_an_answer_that_does_not_come_whole(silent: SoapServer, way: Any, timeouts: dict[str, float], problem: str) -> None:
    made = settings(silent, timeouts=timeouts)
    begun = time.monotonic()
    silent.next_replies.append(Reply(WHOLE, way=way))
    with pytest.raises(TransientError, match=problem):
        records(feed(made))
    assert time.monotonic() - begun < 3


def test_a_server_that_is_not_there(server: SoapServer) -> None:
    made = settings(server, wsdl="sales.wsdl", port="Sales11", address=f"{server.url}/sales")
    server.stop()
    with pytest.raises(TransientError, match=r"sales: .*refused"):
        records(feed(made))
    server.start()


def test_an_answer_that_is_too_large_halts(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale(str(number), "x" * 50) for number in range(50)]
    with pytest.raises(SourceHalted, match=r"larger than 5,000 bytes \(max_answer_bytes"):
        records(feed(settings(server, max_answer_bytes=5000, wsdl="sales.wsdl", port="Sales11", address=f"{server.url}/sales")))


PACKED = {
    "gzip": gzip.compress,
    "gzip in two members": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("way", PACKED)
def test_a_packed_answer_is_unpacked(server: SoapServer, sales: SalesService, way: str) -> None:
    plain = sales.answer(SOAP_11, [sale("1")])
    server.next_replies.append(Reply(PACKED[way](plain.body), headers={"Content-Encoding": way.split()[0]}))
    assert len(records(feed(settings(server)))) == 1
    assert server.calls[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("way", PACKED)
def test_a_packed_answer_that_does_not_end_is_tried_again(server: SoapServer, sales: SalesService, way: str) -> None:
    whole = PACKED[way](sales.answer(SOAP_11, [sale("1")]).body)
    server.next_replies.append(Reply(whole[:-5], headers={"Content-Encoding": way.split()[0]}))
    with pytest.raises(TransientError, match="cannot be read: it is cut off"):
        records(feed(settings(server)))


@pytest.mark.parametrize("document", [False, True], ids=["answer", "WSDL"])
def test_a_bomb_halts_before_it_fills_the_memory(server: SoapServer, document: bool) -> None:
    bomb = Reply(gzip.compress(b" " * 100_000_000), headers={"Content-Encoding": "gzip"})
    made = settings(server, max_answer_bytes=1_000_000)
    asking = feed(made)
    if document:
        server.documents["/wsdl/sales.wsdl"] = bomb
    else:
        asking.wsdl()
        server.next_replies.append(bomb)
    tracemalloc.start()
    with pytest.raises(SourceHalted, match=r"larger than 1,000,000 bytes \(max_answer_bytes"):
        records(asking)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000_000


def test_a_redirect_is_not_followed_with_what_we_say(server: SoapServer) -> None:
    server.next_replies.append(Reply(b"", 307, {"Location": "https://elsewhere.example/x?token=1"}))
    with pytest.raises(
        SourceHalted, match=r"redirects to https://elsewhere\.example/x; if that is right, write it in `address`"
    ):
        records(feed(settings(server)))


@pytest.mark.parametrize("location", ["http://[bad", "http://127.0.0.1:99999999/x"])
def test_a_redirect_to_no_address_halts(server: SoapServer, location: str) -> None:
    server.next_replies.append(Reply(b"", 302, {"Location": location}))
    with pytest.raises(SourceHalted, match="redirects to no address that can be followed"):
        records(feed(settings(server)))


def test_a_proxy_is_asked_where_one_is_named_and_only_then(
    server: SoapServer, sales: SalesService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    sales.rows = [sale("1")]
    assert len(records(feed(settings(server)))) == 1
    server.services["http://partner.invalid/sales"] = sales
    made = settings(server, wsdl="sales.wsdl", port="Sales11", address="http://partner.invalid/sales", proxy=server.url)
    assert len(records(feed(made))) == 1


ENTITIES = b'<!ENTITY a "lollollol">' + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))


def refused(server: SoapServer) -> dict[str, bytes]:
    """XML that may do harm: each by itself, in the place of an answer or of a schema."""
    dtd = b"<!DOCTYPE x [%s]><x>%s</x>"
    return {
        "DTD": b'<!DOCTYPE x SYSTEM "nowhere.dtd"><x/>',
        "DTD from the network": b'<!DOCTYPE x SYSTEM "%s/spy.dtd"><x/>' % server.url.encode(),
        "DTD in UTF-16": '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><x/>'.encode("utf-16"),
        "DTD in Shift-JIS": b'<?xml version="1.0" encoding="shift_jis"?><!DOCTYPE x><x/>',
        "billion laughs": dtd % (ENTITIES, b"&j;"),
        "billion laughs in an attribute": b'<!DOCTYPE x [%s]><x y="&j;"/>' % ENTITIES,
        "quadratic blowup": dtd % (b'<!ENTITY a "%s">' % (b"x" * 50_000), b"&a;" * 50_000),
        "external entity": dtd % (b'<!ENTITY a SYSTEM "file:///etc/passwd">', b"&a;"),
        "external entity from the network": dtd % (b'<!ENTITY a SYSTEM "%s/spy">' % server.url.encode(), b"&a;"),
        "parameter entity": dtd % (b'<!ENTITY %% a SYSTEM "%s/spy"> %%a;' % server.url.encode(), b""),
        "huge text": b"<x>%s</x>" % (b"y" * 11_000_000),
        "huge attribute": b'<x y="%s"/>' % (b"y" * 11_000_000),
        "too deep": b"<x>" * 5000 + b"</x>" * 5000,
    }


HARMFUL = [
    "DTD", "DTD from the network", "DTD in UTF-16", "DTD in Shift-JIS", "billion laughs", "billion laughs in an attribute",
    "quadratic blowup", "external entity", "external entity from the network", "parameter entity", "huge text",
    "huge attribute", "too deep",
]  # fmt: skip


@pytest.mark.parametrize("what", HARMFUL)
def test_an_answer_that_could_do_harm_is_refused(server: SoapServer, what: str) -> None:
    body = refused(server)[what]
    with pytest.raises(SourceHalted, match=r"the answer is refused: (it holds a DTD|Resource limit|Excessive depth)"):
        body_of(Answer(200, "text/xml", body))
    assert not [path for path in server.gets if "spy" in path]


@pytest.mark.parametrize("what", HARMFUL)
def test_a_schema_that_could_do_harm_is_refused(server: SoapServer, what: str) -> None:
    """Imported by a WSDL that is sound."""
    server.documents["/wsdl/types/sales.xsd"] = refused(server)[what]
    with pytest.raises(SourceHalted, match=r"sales\.xsd is refused: (it holds a DTD|Resource limit|Excessive depth)"):
        records(feed(settings(server)))
    assert not [path for path in server.gets if "spy" in path]


def test_a_retry_goes_on_with_a_fresh_opening(server: SoapServer, sales: SalesService, tmp_path: Any) -> None:
    """As the reader does it: closed after a TransientError, opened anew, the rows are there."""
    sales.rows = [sale("1")]
    reader = Reader(settings(server), feed(settings(server)).schema, tmp_path)
    server.next_replies.append(Reply(b"", 503))
    with pytest.raises(TransientError, match="HTTP 503"):
        reader.to_end()
    reader.source.close()
    reader.source.open(Resume())
    reader.to_end()
    assert list(reader.rows) == ["1"]
    until(lambda: len(server.calls) >= 2)
