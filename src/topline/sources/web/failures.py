"""Which failures another try may heal, and which a person must mend; each in our words."""

import ssl

import httpx2

from topline.errors import SourceHalted, TransientError, WorkError
from topline.sources.web.settings import Timeouts

LATER = frozenset({408, 421, 423, 425, 429})  # of 400 to 499, RFC 9110 section 15.5 and RFC 4918 section 11.3
# Alerts (RFC 8446 section 6.2) by which the other side says that it does not want us, or not so.
_REFUSALS = (
    "CERTIFICATE",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "HANDSHAKE_FAILURE",
    "PROTOCOL_VERSION",
    "INSUFFICIENT_SECURITY",
    "UNRECOGNIZED_NAME",
)


def may_heal(status: int) -> bool:
    """Whether another try may bring what this HTTP status withholds: a person must mend the others."""
    return status in LATER or not 400 <= status < 500


def failure(error: Exception, timeouts: Timeouts) -> WorkError:
    """What an exchange broke off with: SourceHalted for certificates and addresses, else TransientError."""
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return SourceHalted(f"it cannot be asked: {error}")
    if (fault := _certificate_fault(error)) is not None:
        return SourceHalted(fault)
    match error:
        case httpx2.ConnectTimeout():
            text = f"no connection within timeouts.connect, {timeouts.connect:g} s"
        case httpx2.ReadTimeout():
            text = f"not a byte within timeouts.read, {timeouts.read:g} s"
        case httpx2.ConnectError():
            text = f"no connection: {error}"
        case _:
            text = f"the connection broke: {error or type(error).__name__}"
    return TransientError(text)


def _certificate_fault(error: BaseException | None) -> str | None:
    """What a person must mend about TLS; None where another try may heal it."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of the server fails: {error.verify_message}; where it is a company's own, set tls.ca to the "
                "file of its authority; else somebody may stand between"
            )
        if isinstance(error, ssl.SSLError) and _refuses(error.reason or ""):
            words = (error.reason or "").replace("_", " ").lower()
            return f"the server refuses the connection ({words}); it may want a client certificate: see tls.certificate"
        if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
            return "the server does not speak TLS on this port; is it http://, or another port?"
        error = error.__cause__ or error.__context__
    return None


def _refuses(reason: str) -> bool:
    return "ALERT" in reason and any(word in reason for word in _REFUSALS)
