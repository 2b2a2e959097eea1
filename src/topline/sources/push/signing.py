"""Signatures of webhooks: HMAC (RFC 2104) over the body as it was sent, compared in constant time."""

import base64
import hashlib
import hmac
import time

from topline.sources.push.settings import Signature

_TOLERANCE = 300.0  # seconds between a sender's clock and ours


class Check:
    """One request's signature: fed with the body as it comes. `now`: seconds since 1970."""

    def __init__(self, settings: Signature, header: str | None, now: float | None = None) -> None:
        self._settings, self._header = settings, header or ""
        self._now = time.time() if now is None else now
        self._timestamp, self._claimed = self._claims()
        digest = {"hmac-sha256": hashlib.sha256, "hmac-sha512": hashlib.sha512}[settings.algorithm]
        self._mac = hmac.new(settings.secret.get_secret_value().encode(), digestmod=digest)
        if settings.scheme == "timestamped":
            self._mac.update(f"{self._timestamp}.".encode())

    def update(self, piece: bytes) -> None:
        self._mac.update(piece)

    def fault(self) -> str:
        """Why the request is not let in; '' where it is signed."""
        if not self._header:
            return f"the header {self._settings.header} with the body's signature is missing"
        if not any(hmac.compare_digest(claimed.encode(), self._expected()) for claimed in self._claimed):
            return f"the signature in {self._settings.header} is not that of this body under the shared secret"
        if self._settings.scheme == "timestamped" and abs(self._now - float(self._timestamp or "0")) > _TOLERANCE:
            return f"the time in {self._settings.header} is more than {_TOLERANCE:.0f} s away: sign it anew"
        return ""

    def _expected(self) -> bytes:
        if self._settings.encoding == "base64":
            return base64.b64encode(self._mac.digest())
        return self._mac.hexdigest().encode()

    def _claims(self) -> tuple[str, list[str]]:
        """The time that was signed ('' for none), and the signatures that are claimed."""
        if self._settings.scheme == "body":
            prefix = self._settings.prefix
            return "", [self._written(self._header.removeprefix(prefix))] if self._header.startswith(prefix) else []
        parts = [part.strip().partition("=") for part in self._header.split(",")]
        seconds = next((value for name, _, value in parts if name == "t" and value.isascii() and value.isdigit()), "")
        return seconds[:12], [self._written(value) for name, _, value in parts if name == "v1"]

    def _written(self, claimed: str) -> str:
        return claimed.strip().lower() if self._settings.encoding == "hex" else claimed.strip()
