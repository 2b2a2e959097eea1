"""Who we are and who they are: UsernameToken, basic, TLS with certificates; secrets stay secret."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sources.soap.support import feed, records, settings, values
from tests.servers.certificates import LOCKED, Certificates
from tests.soap_server.contract import WSDLS
from tests.soap_server.guards import BasicGuard, TokenGuard
from tests.soap_server.server import SoapServer, fault
from tests.soap_server.services import SalesService, sale
from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.base import Context
from topline.sources.soap import create

PASSWORD = "gr&ün <s3cret>"


@pytest.mark.parametrize("kind", ["digest", "text"])
@pytest.mark.parametrize("port", ["Sales11", "Sales12"])
def test_username_token(server: SoapServer, sales: SalesService, kind: str, port: str) -> None:
    sales.rows = [sale("1", "a")]
    sales.guard = TokenGuard("ann", PASSWORD, f"Password{kind.title()}", timestamp=True)
    token = {"username": "ann", "password": PASSWORD, "type": kind, "timestamp": True}
    for _ in range(2):  # a nonce is used once
        assert values(feed(settings(server, username_token=token, port=port))) == [{"id": "1", "value": "a"}]


def test_a_wrong_password_halts(server: SoapServer, sales: SalesService) -> None:
    sales.guard = TokenGuard("ann", PASSWORD)
    with pytest.raises(SourceHalted, match="FailedAuthentication: wrong password"):
        records(feed(settings(server, username_token={"username": "ann", "password": "mistaken"})))


def test_secrets_that_a_fault_repeats_are_struck_out(server: SoapServer, sales: SalesService) -> None:
    sales.guard = lambda call: fault(call.soap, "soap:Client", "what is key-12345, swordfish, and hunter22?")
    made = settings(
        server,
        username_token={"username": "ann", "password": "swordfish"},
        headers={"X-Key": "key-12345"},
        soap_headers={"{urn:x}Key": {"inner": ["hunter22"]}},
    )
    with pytest.raises(SourceHalted, match=r"what is \*\*\*, \*\*\*, and \*\*\*\?"):
        records(feed(made))
    assert "swordfish" not in repr(made)


def test_basic(server: SoapServer, sales: SalesService) -> None:
    sales.rows, sales.guard = [sale("1", "a")], BasicGuard("ann", PASSWORD)
    assert values(feed(settings(server, basic={"username": "ann", "password": PASSWORD}))) == [{"id": "1", "value": "a"}]
    with pytest.raises(SourceHalted, match=r"HTTP 401 \(user name, password\)"):
        records(feed(settings(server, basic={"username": "ann", "password": "mistaken"})))


@pytest.fixture
def tls_server(certificates: Certificates) -> Iterator[SoapServer]:
    """It asks for a client's certificate."""
    server = SoapServer(certificates.server(wants_client=True))
    server.services["/sales"] = SalesService([sale("1", "a")])
    yield server
    server.close()


def tls(certificates: Certificates, **others: str) -> dict[str, Any]:
    names = {"ca": "ca.pem", "certificate": "client.pem", "key": "locked.key", **others}
    return {"key_password": LOCKED} | {name: str(certificates.folder / file) for name, file in names.items()}


def test_certificates_of_both_sides(tls_server: SoapServer, certificates: Certificates) -> None:
    assert values(feed(settings(tls_server, tls=tls(certificates)))) == [{"id": "1", "value": "a"}]


def test_a_server_of_another_authority_halts(tls_server: SoapServer, certificates: Certificates) -> None:
    with pytest.raises(SourceHalted, match=r"the certificate of the server fails: .*tls\.ca"):
        records(feed(settings(tls_server, tls=tls(certificates, ca="stranger.pem"))))
    with pytest.raises(SourceHalted, match="the certificate of the server fails"):
        records(feed(settings(tls_server)))


def test_without_our_certificate_it_halts(tls_server: SoapServer, certificates: Certificates) -> None:
    with pytest.raises(SourceHalted, match=r"refuses the connection .*certificate.*tls\.certificate"):
        records(feed(settings(tls_server, tls={"ca": str(certificates.folder / "ca.pem")})))


def test_a_redirect_away_from_https_is_not_followed(tls_server: SoapServer, certificates: Certificates) -> None:
    tls_server.moved["/wsdl/sales.wsdl"] = tls_server.url.replace("https", "http") + "/wsdl/sales.wsdl"
    with pytest.raises(SourceHalted, match="not encrypted"):
        records(feed(settings(tls_server, tls=tls(certificates))))


def test_plain_http_to_a_tls_port_is_no_answer(tls_server: SoapServer, certificates: Certificates) -> None:
    made = settings(tls_server, tls=tls(certificates), address=tls_server.url.replace("https", "http") + "/sales")
    with pytest.raises(TransientError):
        records(feed(made))


@pytest.mark.parametrize(("setting", "file"), [("ca", "locked.key"), ("certificate", "missing.pem"), ("key", "ca.key")])
def test_a_certificate_that_cannot_be_used_is_named_before_the_run(certificates: Certificates, setting: str, file: str) -> None:
    server = SoapServer()
    made = settings(server, tls=tls(certificates, **{setting: file}))
    server.close()
    named = "ca" if setting == "ca" else "certificate"
    with pytest.raises(ConfigError, match=rf"tls\.{named}: \S+\.(pem|key) cannot be used"):
        create(Context("partner", {"sales": feed(made).schema}, certificates.folder, certificates.folder), made)


TEXT = {"username": "ann", "password": PASSWORD, "type": "text"}


@pytest.mark.parametrize("login", [{"basic": {"username": "ann", "password": PASSWORD}}, {"headers": {"authorization": "t"}}])
def test_a_login_over_http_stays_on_this_machine_or_is_allowed(server: SoapServer, login: dict[str, Any]) -> None:
    elsewhere: list[dict[str, Any]] = [{"address": "http://partner.invalid/sales"}, {"wsdl": "http://partner.invalid/x.wsdl"}]
    for there in elsewhere:
        with pytest.raises(ValueError, match=r"readable over http://partner\.invalid"):
            settings(server, **login, **there)
        settings(server, **login, plain_http=True, **there)


def test_a_password_in_the_envelope_does_not_travel_readable_either(server: SoapServer, tmp_path: Path) -> None:
    """Where the address is known from the WSDL alone. A digest may be sent."""
    text = (WSDLS / "rpc.wsdl").read_text().replace("ADDRESS/literal", "http://partner.invalid/x")
    (tmp_path / "a.wsdl").write_text(text)
    one = {"operation": "list", "arguments": {"since": 1, "limit": 1}, "rows": "return"}
    for kind, error, said in (
        ("text", SourceHalted, "readable over http://partner"),
        ("digest", TransientError, "no connection"),
    ):
        made = settings(server, one=one, wsdl="a.wsdl", port="Literal", username_token={**TEXT, "type": kind})
        with pytest.raises(error, match=said):
            records(feed(made, root=tmp_path))
