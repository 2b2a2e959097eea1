"""Who may call: the server's side of WS-Security UsernameToken and of HTTP basic, from their standards."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from tests.soap_server.server import Call, Reply, fault

_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_SEC, _UTIL = f"{{{_WSS}wssecurity-secext-1.0.xsd}}", f"{{{_WSS}wssecurity-utility-1.0.xsd}}"
_PROFILE = f"{_WSS}username-token-profile-1.0#"


@dataclass
class TokenGuard:
    """Lets in who sends this user's UsernameToken of this kind, fresh, with a nonce that was not used before."""

    username: str
    password: str
    kind: str = "PasswordDigest"
    timestamp: bool = False
    nonces: set[bytes] = field(default_factory=set)

    def __call__(self, call: Call) -> Reply | None:
        problem = self._problem(call)
        code = "wsse:FailedAuthentication"
        if not problem:
            return None
        made = fault(call.soap, code, escape(problem))
        declared = made.body.replace(b"<soap:Fault>", f'<soap:Fault xmlns:wsse="{_SEC[1:-1]}">'.encode())
        return Reply(declared, 500, content_type=made.content_type)

    def _problem(self, call: Call) -> str:
        security = None if call.header is None else call.header.find(f"{_SEC}Security")
        if security is None:
            return "no Security header"
        if security.get(f"{{{call.soap}}}mustUnderstand") != "1":
            return "Security has to be understood"
        if self.timestamp and security.find(f"{_UTIL}Timestamp/{_UTIL}Expires") is None:
            return "no Timestamp"
        token = security.find(f"{_SEC}UsernameToken")
        if token is None or token.findtext(f"{_SEC}Username") != self.username:
            return "another user"
        password, nonce = token.find(f"{_SEC}Password"), base64.b64decode(token.findtext(f"{_SEC}Nonce") or "")
        created = token.findtext(f"{_UTIL}Created") or ""
        if password is None or password.get("Type") != _PROFILE + self.kind:
            return f"a password of the kind {self.kind} is expected"
        if len(nonce) < 16 or nonce in self.nonces:
            return "no nonce, or one that was used before"
        self.nonces.add(nonce)
        if abs(datetime.now(UTC) - datetime.fromisoformat(created)) > timedelta(minutes=5):
            return "stale"
        return "" if password.text == self._expected(nonce, created) else "wrong password"

    def _expected(self, nonce: bytes, created: str) -> str:
        if self.kind == "PasswordText":
            return self.password
        return base64.b64encode(hashlib.sha1(nonce + created.encode() + self.password.encode()).digest()).decode()


@dataclass
class BasicGuard:
    username: str
    password: str

    def __call__(self, call: Call) -> Reply | None:
        expected = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        if call.headers.get("authorization") == expected:
            return None
        return Reply(b"<html>who are you?</html>", 401, {"WWW-Authenticate": "Basic"}, content_type="text/html")
