"""Certificates are verified, and what fails says what to do."""

import socket
from pathlib import Path

import pytest

from tests.integration.sources.rest.asking import always, context, feed, listed, rows, serving, settings
from tests.servers.certificates import LOCKED, Certificates
from tests.servers.http import Reply
from topline.errors import ConfigError, SourceHalted, ToplineError, TransientError
from topline.sources.rest import create

ONE = always(Reply(rows("1")))


def test_a_company_s_own_authority_is_trusted_where_it_is_named(certificates: Certificates) -> None:
    with serving(ONE, tls=certificates.server()) as server:
        assert listed(feed(server.url, root=certificates.folder, tls={"ca": "ca.pem"}).pages(None)) == ["1"]


@pytest.mark.parametrize(
    ("certificate", "trusted", "said"),
    [
        ("server", "", "self-signed|unable to get local issuer"),
        ("server", "stranger.pem", "unable to get local issuer|self-signed"),
        ("other", "ca.pem", "Hostname mismatch"),
        ("expired", "ca.pem", "expired"),
    ],
)
def test_a_certificate_that_fails_stops(certificates: Certificates, certificate: str, trusted: str, said: str) -> None:
    with serving(ONE, tls=certificates.server(certificate)) as server:
        asking = feed(server.url, root=certificates.folder, tls={"ca": trusted})
        with pytest.raises(SourceHalted, match=rf"certificate of the server fails: .*({said}).*tls\.ca"):
            listed(asking.pages(None))
        assert server.asked == []
        (fault,) = asking.check()
        assert "certificate" in fault.problem
        assert fault.remedy


@pytest.mark.parametrize(
    "tls", [{"certificate": "client.pem", "key": "client.key"}, {"certificate": "client.pem", "key": "locked.key"}]
)
def test_a_client_certificate_is_shown(certificates: Certificates, tls: dict[str, str]) -> None:
    password = {"key_password": LOCKED} if "locked.key" in tls.values() else {}
    with serving(ONE, tls=certificates.server(wants_client=True)) as server:
        asking = feed(server.url, root=certificates.folder, tls={"ca": "ca.pem", **tls, **password})
        assert listed(asking.pages(None)) == ["1"]


def test_without_the_client_certificate_that_is_wanted_it_stops(certificates: Certificates) -> None:
    with serving(ONE, tls=certificates.server(wants_client=True)) as server:
        asking = feed(server.url, root=certificates.folder, tls={"ca": "ca.pem"})
        with pytest.raises(SourceHalted, match=r"tls\.certificate"):
            listed(asking.pages(None))


def test_https_asked_of_a_server_without_tls_stops() -> None:
    with serving(ONE) as server, pytest.raises(SourceHalted, match="does not speak TLS"):
        listed(feed(server.url.replace("http://", "https://")).pages(None))


def test_a_server_that_never_answers_the_handshake_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asking = feed(f"https://127.0.0.1:{silent.getsockname()[1]}", timeouts={"connect": 0.3, "read": 5, "total": 10})
        with pytest.raises(TransientError, match=r"timeouts\.connect, 0\.3 s"):
            listed(asking.pages(None))


@pytest.mark.parametrize(
    ("tls", "setting"),
    [
        ({"ca": "missing.pem"}, "tls.ca: missing.pem"),
        ({"ca": "server.key"}, "tls.ca: server.key"),
        ({"certificate": "client.pem", "key": "server.key"}, "tls.certificate: client.pem"),
        ({"certificate": "client.pem", "key": "locked.key", "key_password": "wrong"}, "tls.certificate: client.pem"),
    ],
)
def test_files_that_cannot_be_used_are_named(certificates: Certificates, tls: dict[str, str], setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{setting} cannot be used"):
        create(context(certificates.folder), settings("https://localhost", tls=tls))


def test_verification_cannot_be_turned_off(tmp_path: Path) -> None:
    with pytest.raises((ValueError, ToplineError)):
        settings("https://localhost", tls={"verify": False})
