"""Who we are and who they are: UsernameToken, basic, TLS with certificates; secrets stay secret."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sources.soap.support import feed, records, settings, values
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
        http_headers={"X-Key": "key-12345"},
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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem; server.pem and client.pem signed by it, client.key with a password; other.pem is an authority of nobody here."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        _openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                 "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name, secret in (("server", ()), ("client", ("-passout", "pass:k3y"))):
        plain = () if secret else ("-nodes",)
        _openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *plain, *secret,
                 "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")  # fmt: skip
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", "2", "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    return folder


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tls_server(certificates: Path) -> Iterator[SoapServer]:
    """It asks for a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = SoapServer(context)
    server.services["/sales"] = SalesService([sale("1", "a")])
    yield server
    server.close()


def tls(certificates: Path, **others: str) -> dict[str, Any]:
    names = {"ca": "ca.pem", "certificate": "client.pem", "key": "client.key", **others}
    return {"key_password": "k3y"} | {name: str(certificates / file) for name, file in names.items()}


def test_certificates_of_both_sides(tls_server: SoapServer, certificates: Path) -> None:
    assert values(feed(settings(tls_server, tls=tls(certificates)))) == [{"id": "1", "value": "a"}]


def test_a_server_of_another_authority_halts(tls_server: SoapServer, certificates: Path) -> None:
    with pytest.raises(SourceHalted, match=r"certificate is not trusted: .*tls\.ca"):
        records(feed(settings(tls_server, tls=tls(certificates, ca="other.pem"))))
    with pytest.raises(SourceHalted, match="not trusted"):
        records(feed(settings(tls_server)))


def test_without_our_certificate_it_halts(tls_server: SoapServer, certificates: Path) -> None:
    with pytest.raises(SourceHalted, match=r"refuses our certificate .*tls\.certificate"):
        records(feed(settings(tls_server, tls={"ca": str(certificates / "ca.pem")})))


def test_a_redirect_away_from_https_is_not_followed(tls_server: SoapServer, certificates: Path) -> None:
    tls_server.moved["/wsdl/sales.wsdl"] = tls_server.url.replace("https", "http") + "/wsdl/sales.wsdl"
    with pytest.raises(SourceHalted, match="not encrypted"):
        records(feed(settings(tls_server, tls=tls(certificates))))


def test_plain_http_to_a_tls_port_is_no_answer(tls_server: SoapServer, certificates: Path) -> None:
    made = settings(tls_server, tls=tls(certificates), address=tls_server.url.replace("https", "http") + "/sales")
    with pytest.raises(TransientError):
        records(feed(made))


@pytest.mark.parametrize(("setting", "file"), [("ca", "client.key"), ("certificate", "missing.pem"), ("key", "ca.key")])
def test_a_certificate_that_cannot_be_used_is_named_before_the_run(certificates: Path, setting: str, file: str) -> None:
    server = SoapServer()
    made = settings(server, tls=tls(certificates, **{setting: file}))
    server.close()
    named = "ca" if setting == "ca" else "certificate"
    with pytest.raises(ConfigError, match=rf"tls\.{named}: \S+\.(pem|key) cannot be used"):
        create(Context("partner", {"sales": feed(made).schema}, certificates, certificates), made)
