"""Who we are to the origin: headers and parameters of each request, and OAuth2 tokens, renewed before they expire."""

import json
import threading
import time
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, urlencode

from pydantic import SecretStr

from topline.errors import SourceHalted, TransientError
from topline.sources.rest.settings import Auth, RestSettings
from topline.sources.web.addresses import Url
from topline.sources.web.hiding import hidden
from topline.sources.web.settings import Basic
from topline.sources.web.wire import Answer, Request, Send

_MARGIN = 60.0  # seconds before its end that a token is renewed, at most a tenth of its life


class Credentials:
    """One a source, for all its tables and threads. `sign` adds them to a request; secrets never leave but by it."""

    def __init__(self, settings: RestSettings) -> None:
        self._auth, self._basic, self._headers = settings.auth, settings.basic, settings.headers
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    @property
    def renewable(self) -> bool:
        return self._auth is not None and self._auth.type == "oauth2"

    def sign(self, request: Request, send: Send) -> Request:
        """`request` with what tells who we are. `send` is used to fetch a token where there is none that holds.

        SourceHalted where no token is given out to us, TransientError where it cannot be asked for.
        """
        said = {name.lower() for name in self._headers}
        headers = {**self._headers, **{name: value for name, value in request.headers.items() if name.lower() not in said}}
        auth = self._auth
        if self._basic is not None:
            return replace(request, headers={**headers, "Authorization": self._basic.authorization})
        if auth is None:
            return replace(request, headers=headers)
        if auth.type == "api_key" and auth.place == "query":
            others = tuple(pair for pair in request.params if pair[0] != auth.name)
            key = () if auth.name in request.url.parameters else ((auth.name, _secret(auth.key)),)
            return replace(request, headers=headers, params=(*others, *key))
        name, value = self._header(auth, send)
        return replace(request, headers={**headers, name: value})

    def forget(self, request: Request) -> None:
        """The origin refused the token of this request: the next is fetched anew."""
        with self._lock:
            if request.headers.get("Authorization") == f"Bearer {self._token}":
                self._token = ""

    def hide(self, text: str) -> str:
        """`text` of the origin's, with no secret of ours in it, for a message."""
        auth = self._auth
        secrets = [self._token, *(value for name, value in self._headers.items() if name.lower() not in _HARMLESS)]
        if auth is not None:
            secrets += [_secret(one) for one in (auth.token, auth.key, auth.client_secret)]
        if self._basic is not None:
            secrets += [self._basic.password.get_secret_value(), self._basic.encoded]
        return hidden(text, secrets)

    def _header(self, auth: Auth, send: Send) -> tuple[str, str]:
        if auth.type == "api_key":
            return auth.name, _secret(auth.key)
        token = _secret(auth.token) if auth.type == "bearer" else self._current_token(auth, send)
        return "Authorization", f"Bearer {token}"

    def _current_token(self, auth: Auth, send: Send) -> str:
        with self._lock:
            if not self._token or time.monotonic() >= self._renew_at:
                asked = time.monotonic()
                answer = send(_token_request(auth))
                self._token, life = self._token_of(answer)
                self._renew_at = asked + life - min(_MARGIN, life / 10)
            return self._token

    def _token_of(self, answer: Answer) -> tuple[str, float]:
        """Token and its life in seconds (RFC 6749 section 5.1)."""
        where = f"{answer.request.shown} (auth.token_url)"
        if answer.status in (408, 429) or answer.status >= 500:
            raise TransientError(f"{where}: gives no token now: HTTP {answer.status} {answer.phrase}")
        found = _object(answer.body)
        if answer.status != 200:
            reason = self.hide(" ".join(str(found[name]) for name in ("error", "error_description") if found.get(name)))
            raise SourceHalted(
                f"{where}: refuses us a token: HTTP {answer.status} {answer.phrase} {reason[:200]}; see client_id, "
                "client_secret, scope and client_auth"
            )
        token, kind, life = found.get("access_token"), str(found.get("token_type", "bearer")), found.get("expires_in", 3600)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or kind.lower() != "bearer":
            raise SourceHalted(f"{where}: answers without an access_token of the type bearer; is it the right address?")
        try:
            return token, max(1.0, float(life))
        except (TypeError, ValueError, OverflowError):
            return token, 3600.0


_HARMLESS = frozenset({"accept", "accept-language", "user-agent", "content-type", "prefer", "accept-charset"})


def _token_request(auth: Auth) -> Request:
    """RFC 6749 section 4.4.2; the client's own authentication by section 2.3.1."""
    form = {"grant_type": "client_credentials", **({"scope": auth.scope} if auth.scope else {}), **auth.extra}
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    client, secret = _secret(auth.client_id), _secret(auth.client_secret)
    if auth.client_auth == "basic":
        headers["Authorization"] = Basic(username=quote_plus(client), password=SecretStr(quote_plus(secret))).authorization
    else:
        form |= {"client_id": client, "client_secret": secret}
    url = Url.parse(auth.token_url or "")
    return Request("POST", url, (), headers, urlencode(form).encode())


def _secret(value: Any) -> str:
    return "" if value is None else str(value.get_secret_value())


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
