"""WSDLs: by file and by URL, with imports; services and ports; and what `check` finds, each with its remedy."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sources.soap.support import SALE, feed, records, schema, settings, table, values
from tests.soap_server.contract import WSDLS
from tests.soap_server.server import SoapServer
from tests.soap_server.services import SalesService, sale
from topline.config import load_project
from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.base import Context
from topline.sources.registry import build
from topline.sources.soap import create


def test_a_wsdl_in_a_file_with_its_imports_and_another_address(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    sales.rows = [sale("1", "a")]
    shutil.copytree(WSDLS, tmp_path / "partner")
    made = settings(server, wsdl="partner/sales.wsdl", port="Sales11", address=f"{server.url}/sales")
    assert values(feed(made, root=tmp_path)) == [{"id": "1", "value": "a"}]


def test_the_wsdl_is_loaded_once_an_opening(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    """Two tables, several polls, one look at each document."""
    from topline.sources.base import Resume

    one = settings(server, every=0.01)
    both = one.model_copy(update={"tables": {"sales": one.tables["sales"], "again": one.tables["sales"]}})
    source = create(Context("partner", {"sales": SALE, "again": SALE}, tmp_path, tmp_path), both)
    for opening in (1, 2):
        source.open(Resume())
        while not source.reached_end():
            source.read(10, 0.05)
        source.read(10, 0.1)
        source.close()
        assert sorted(server.gets) == sorted(
            ["/wsdl/sales.wsdl", "/wsdl/sales-binding.wsdl", "/wsdl/types/sales.xsd", "/wsdl/types/sale.xsd"] * opening
        )


CHOICES = [
    ("bare.wsdl", {}, r"several services: write `service`, one of Old, Ledger"),
    ("bare.wsdl", {"service": "Leger"}, r"no service 'Leger' for SOAP; it has Old, Ledger"),
    ("bare.wsdl", {"service": "Ledger", "port": "PlainPort"}, r"no port 'PlainPort' for SOAP; it has BarePort"),
    ("sales.wsdl", {"port": "x"}, r"no port 'x' for SOAP; it has Sales11, Sales12"),
    ("types/sales.xsd", {}, r"no port for SOAP over HTTP"),
]


@pytest.mark.parametrize(("wsdl", "others", "problem"), CHOICES)
def test_what_is_not_in_the_wsdl_is_told_with_what_is(
    server: SoapServer, wsdl: str, others: dict[str, Any], problem: str
) -> None:
    [fault] = feed(settings(server, wsdl=f"{server.url}/wsdl/{wsdl}", **others)).check()
    assert fault.where == "partner.sales"
    with pytest.raises(SourceHalted, match=problem):
        raise SourceHalted(fault.problem)


def test_a_wsdl_that_cannot_be_reached_is_tried_again(server: SoapServer) -> None:
    with pytest.raises(TransientError, match=r"nowhere\.wsdl cannot be loaded: HTTP 404"):
        records(feed(settings(server, wsdl=f"{server.url}/wsdl/nowhere.wsdl")))
    made = settings(server)
    server.stop()
    with pytest.raises(TransientError, match="refused"):
        records(feed(made))
    server.start()


def test_a_wsdl_that_is_not_there_or_is_none_halts(server: SoapServer, tmp_path: Path) -> None:
    with pytest.raises(SourceHalted, match=r"cannot read .*none\.wsdl: No such file"):
        records(feed(settings(server, wsdl="none.wsdl"), root=tmp_path))
    (tmp_path / "bad.wsdl").write_text("<definitions>")
    with pytest.raises(SourceHalted, match=r"bad\.wsdl is no WSDL or schema: .*definitions"):
        records(feed(settings(server, wsdl="bad.wsdl"), root=tmp_path))
    whole = (WSDLS / "bare.wsdl").read_text()
    (tmp_path / "dangling.wsdl").write_text(whole.replace('type="tns:Entry"', 'type="tns:Missing"'))
    with pytest.raises(SourceHalted, match=r"dangling\.wsdl cannot be read: .*Missing"):
        records(feed(settings(server, wsdl="dangling.wsdl"), root=tmp_path))


IMPORT = '<import namespace="urn:x" location="{}"/><types>'


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("http://localhost:{port}/wsdl/sales.wsdl", r"imports http://localhost:\d+/wsdl/sales\.wsdl: .* add 'localhost'"),
        ("file:///etc/hostname", r"imports the file 'file:///etc/hostname'"),
    ],
)
def test_a_wsdl_from_the_network_draws_in_no_files_and_no_strangers(server: SoapServer, location: str, problem: str) -> None:
    port = server.url.rpartition(":")[2]
    text = (WSDLS / "bare.wsdl").read_text().replace("<types>", IMPORT.format(location.format(port=port)))
    server.documents["/wsdl/bare.wsdl"] = text.encode()
    with pytest.raises(SourceHalted, match=problem):
        records(feed(settings(server, wsdl=f"{server.url}/wsdl/bare.wsdl")))
    assert server.gets == ["/wsdl/bare.wsdl"]


def test_another_host_may_be_allowed(server: SoapServer) -> None:
    port = server.url.rpartition(":")[2]
    text = (WSDLS / "bare.wsdl").read_text().replace("<types>", IMPORT.format(f"http://localhost:{port}/wsdl/sales.wsdl"))
    server.documents["/wsdl/bare.wsdl"] = text.encode()
    made = settings(server, wsdl=f"{server.url}/wsdl/bare.wsdl", import_hosts=["localhost"])
    with pytest.raises(SourceHalted, match="several services"):
        records(feed(made))


@pytest.mark.parametrize("address", ["", "jms:queue", "http://[::1", "http://127.0.0.1:99999/x", "http://ann:pw@127.0.0.1/x"])
def test_an_address_of_the_wsdl_that_cannot_be_asked_halts(server: SoapServer, tmp_path: Path, address: str) -> None:
    (tmp_path / "a.wsdl").write_text((WSDLS / "rpc.wsdl").read_text().replace("ADDRESS/encoded", address))
    with pytest.raises(SourceHalted, match=r"the port Encoded cannot be asked: .*: write `address`"):
        records(feed(settings(server, wsdl="a.wsdl"), root=tmp_path))


def test_other_hosts_are_not_told_who_we_are(server: SoapServer) -> None:
    """The same server by two names: what is asked of the one carries our login, what is asked of the other does not."""
    port = server.url.rpartition(":")[2]
    text = (WSDLS / "bare.wsdl").read_text().replace("<types>", IMPORT.format(f"http://localhost:{port}/wsdl/sales.wsdl"))
    server.documents["/wsdl/bare.wsdl"] = text.encode()
    login = {"basic": {"username": "ann", "password": "s3cret"}, "headers": {"X-Key": "k3y"}}
    made = settings(server, wsdl=f"{server.url}/wsdl/bare.wsdl", import_hosts=["localhost"], **login)
    with pytest.raises(SourceHalted, match="several services"):
        records(feed(made))
    told = {path: {"authorization", "x-key"} & set(headers) for path, headers in server.told}
    assert told.pop("/wsdl/bare.wsdl") == {"authorization", "x-key"}
    assert set(map(frozenset, told.values())) == {frozenset()}


def test_a_redirect_of_the_wsdl_is_followed_on_its_host_only(server: SoapServer, sales: SalesService) -> None:
    server.moved |= {"/moved": "/wsdl/sales.wsdl", "/away": "http://elsewhere.example/x", "/round": "/round"}
    server.documents["/sales-binding.wsdl"] = b"<x/>"
    with pytest.raises(SourceHalted, match=r"redirects to http://elsewhere\.example, another server"):
        records(feed(settings(server, wsdl=f"{server.url}/away")))
    with pytest.raises(SourceHalted, match="more than 5 redirects"):
        records(feed(settings(server, wsdl=f"{server.url}/round")))
    with pytest.raises(SourceHalted) as caught:
        records(feed(settings(server, wsdl=f"{server.url}/moved")))
    assert "redirect" not in str(caught.value)
    assert "/wsdl/sales.wsdl" in server.gets


FAULTY: dict[str, tuple[dict[str, Any], tuple[str, ...], str, str]] = {
    "operation": ({"operation": "ListSale"}, ("id",), "no operation 'ListSale'; it has ListSales", ""),
    "argument": ({"arguments": {"from": 1}}, ("id",), "there is no argument from", "takes since?, page?"),
    "nested argument": (
        {"arguments": {"filter": {"branch": "x", "nots": 1}}}, ("id",), "no argument filter.nots", "ListSales takes since?"
    ),
    "rows": ({"rows": "ListSalesResult.Sale"}, ("id",), "rows: there is no Sale; there are Sales, more, next", "correct"),
    "rows through a list": (
        {"rows": "ListSalesResult.Sales.Sale.detail"}, ("id",), "detail is looked up where elements repeat", "correct the path"
    ),
    "rows of text": ({"rows": "ListSalesResult.next"}, ("id",), "leads to plain text", "the element around it"),
    "column": ({}, ("id", "volue"), 'volue: there is no volue; there are id, value, updated, deleted, amount', "in `fields`"),
    "field": ({"fields": {"value": "amount.currency"}}, ("id", "value"), "currency is looked up in plain text", "in `fields`"),
    "more": ({"arguments": {"page": "{page}"}, "paging": {"more": "mor"}}, ("id",), "paging.more: there is no mor", "correct"),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTY)
def test_check_finds_what_cannot_be_with_its_remedy(server: SoapServer, sales: SalesService, what: str) -> None:
    one, columns, problem, remedy = FAULTY[what]
    faults = feed(settings(server, one=table(**one)), schema(*columns)).check()
    assert [fault.where for fault in faults] == ["partner.sales"]
    assert problem in faults[0].problem
    assert remedy in faults[0].remedy
    assert not server.calls


def test_check_finds_a_required_argument_that_is_missing(server: SoapServer) -> None:
    one = {"operation": "list", "arguments": {"since": 1}, "rows": "return"}
    made = settings(server, one=one, wsdl=f"{server.url}/wsdl/rpc.wsdl", port="Literal")
    problems = [fault.problem for fault in feed(made, schema("id")).check()]
    assert "the argument limit is missing" in problems


def test_check_looks_at_the_first_answer(server: SoapServer, sales: SalesService) -> None:
    """What the schema leaves open, an answer shows: no row has the cursor; a row is not as declared."""
    sales.strict, sales.rows = False, [sale("1"), "<s:Sale><s:id/><s:id/></s:Sale>"]
    one = table(arguments={"since": "{cursor}"}, cursor={"field": "updated"})
    first, second = feed(settings(server, one=one)).check()
    assert "1 of 2 rows cannot be read: record 2: id stands there 2 times" in first.problem
    assert "none of the 1 rows of the first answer has updated" in second.problem
    sales.rows = [sale("1", updated="2026-11-21T10:00:00Z")]
    assert feed(settings(server, one=one)).check() == []


def test_check_needs_the_service(server: SoapServer) -> None:
    made = settings(server, wsdl="sales.wsdl", port="Sales11", address=f"{server.url}/sales")
    server.stop()
    [fault] = feed(made).check()
    assert "refused" in fault.problem
    server.start()


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ({"headers": {"X-Key": "gr\u00fcn"}}, "the value of X-Key must be printable ASCII"),
        ({"headers": {"X-Key": "a\nInjected: b"}}, "the value of X-Key must be printable ASCII"),
        ({"headers": {"authorization": "x"}, "basic": {"username": "a", "password": "b"}}, "exclude each other"),
        ({"address": "http://127.0.0.1:99999/"}, "address"),
        ({"address": "http://ann:pw@127.0.0.1/"}, "do not go into an address"),
        ({"proxy": "socks://127.0.0.1"}, "is no address of http or https"),
        ({"tls": {"key": "key.pem"}}, "a key goes with `certificate`"),
        ({"one": table(paging={})}, "no argument holds {page}, {offset} or {token}"),
        ({"one": table(arguments={"page": "{page}"})}, "{page} goes with `paging`"),
        ({"one": table(arguments={"page": "{page}", "size": "{page_size}"}, paging={})}, "{page_size} needs `paging.size`"),
        ({"one": table(arguments={"page": "{page}"}, paging={"next": "x"})}, "go together"),
        ({"one": table(arguments={"page": "{page}"}, paging={"next": "x", "more": "y"})}, "write one of them"),
        ({"one": table(arguments={"page": "{page}"}, paging={"short_page_ends": True})}, "needs `size`"),
        ({"one": table(cursor={"field": "updated"})}, "no argument holds {cursor}"),
        ({"one": table(arguments={"since": "{cursor}"})}, "go with `cursor`"),
        ({"one": table(arguments={"since": "{curser}"})}, "there is no {curser}; there are {cursor}, {page}"),
        ({"one": table(arguments={"page": "{page:%d}"}, paging={})}, "only {cursor:...} takes a pattern"),
    ],
)
def test_settings_that_cannot_work_are_refused(server: SoapServer, others: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        settings(server, **others)


def test_tables_are_declared_and_configured(server: SoapServer, tmp_path: Path) -> None:
    made = settings(server)
    with pytest.raises(ConfigError) as caught:
        create(Context("partner", {"others": SALE}, tmp_path, tmp_path), made)
    assert "tables: others is declared, but not configured" in str(caught.value)
    assert "tables.sales: the models declare no such table" in str(caught.value)
    wrong = settings(server, one=table(fields={"valeu": "value"}))
    with pytest.raises(ConfigError, match=r"tables\.sales\.fields: valeu is no column; there are id, value"):
        create(Context("partner", {"sales": SALE}, tmp_path, tmp_path), wrong)


def test_a_project_names_each_fault_with_its_line_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_KEY", "hush-hush")
    (tmp_path / "topline.yml").write_text(
        """project: p
sources:
  partner:
    kind: soap
    wsdl: partner.wsdl
    username_token:
      username: ann
      password: ${env:PARTNER_KEY}
      kind: digest
    tables:
      sales:
        operation: ListSales
        rows: "Sales["
        arguments: {since: "{curser}", page: "{page}"}
"""
    )
    with pytest.raises(ConfigError) as caught:
        build(load_project(tmp_path), {"partner.sales": SALE}, lambda *names: names[-1])
    message = str(caught.value)
    assert "topline.yml:9: sources.partner.username_token.kind" in message
    assert "topline.yml:13: sources.partner.tables.sales.rows: 'Sales[' is no JMESPath" in message
    assert "hush-hush" not in message
