"""What asking over HTTP rests on, without a server: whose failure it is, a deadline that comes early, what is cut out."""

import socket
import ssl

import httpx2
import pytest

from tests.polling import until
from topline.errors import SourceHalted, TransientError
from topline.sources.web.deadline import Deadline
from topline.sources.web.failures import failure, may_heal
from topline.sources.web.hiding import hidden
from topline.sources.web.settings import Timeouts


@pytest.mark.parametrize("status", [200, 301, 408, 421, 423, 425, 429, 500, 503, 599])
def test_another_try_may_heal(status: int) -> None:
    assert may_heal(status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 415, 422, 451])
def test_a_person_must_mend(status: int) -> None:
    assert not may_heal(status)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", SourceHalted),
        ("TLSV1_ALERT_UNKNOWN_CA", SourceHalted),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", SourceHalted),
        ("TLSV1_ALERT_PROTOCOL_VERSION", SourceHalted),
        ("TLSV1_ALERT_INTERNAL_ERROR", TransientError),
        ("SSLV3_ALERT_BAD_RECORD_MAC", TransientError),
        ("WRONG_VERSION_NUMBER", SourceHalted),
        ("UNEXPECTED_EOF_WHILE_READING", TransientError),
    ],
)
def test_what_tls_says_is_ours_or_theirs(reason: str, kind: type[Exception]) -> None:
    cause = ssl.SSLError(1, "said by ssl")
    cause.reason = reason
    error = httpx2.ConnectError("no handshake")
    error.__cause__ = cause
    assert type(failure(error, Timeouts())) is kind


def test_what_cannot_be_asked_is_not_asked_again() -> None:
    assert isinstance(failure(httpx2.UnsupportedProtocol("ftp"), Timeouts()), SourceHalted)


class Stream:
    """As the HTTP client's: it gives its socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._connection if name == "socket" else None


@pytest.mark.parametrize("early", [True, False])
def test_a_deadline_shuts_the_connection_also_one_that_comes_after_it(early: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Deadline(0.05) as deadline:
        if early:
            deadline.note("connection.connect_tcp.complete", {"return_value": Stream(ours)})
        until(lambda: deadline.passed)
        deadline.note("connection.start_tls.complete", {"return_value": Stream(ours)})
        ours.settimeout(5)
        assert ours.recv(1) == b""


def test_secrets_are_cut_out_in_every_form_and_the_longest_first() -> None:
    text = 'a&b, a%26b+c, a&b c, "a\\"b"'
    assert hidden(text, ["a&b", "a&b c", 'a"b', ""]) == '***, ***, ***, "***"'
