"""WS-Security UsernameToken in the SOAP header (OASIS WSS UsernameToken profile 1.1, section 3)."""

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lxml import etree

from topline.sources.soap.settings import UsernameToken
from topline.sources.soap.xml import SOAP_11

_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
WSSE, WSU = f"{_WSS}wssecurity-secext-1.0.xsd", f"{_WSS}wssecurity-utility-1.0.xsd"
_PROFILE, _BASE64 = f"{_WSS}username-token-profile-1.0", f"{_WSS}soap-message-security-1.0#Base64Binary"
_KINDS = {"digest": "#PasswordDigest", "text": "#PasswordText"}
_LIFE = timedelta(minutes=5)  # of a timestamp


class Token:
    """Put into each envelope by zeep, which calls `apply`."""

    def __init__(self, settings: UsernameToken, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings, self._now = settings, now

    def apply(self, envelope: etree._Element, headers: dict[str, str]) -> tuple[etree._Element, dict[str, str]]:
        soap = etree.QName(envelope).namespace or SOAP_11
        header = envelope.find(f"{{{soap}}}Header")
        if header is None:
            header = etree.Element(f"{{{soap}}}Header")
            envelope.insert(0, header)
        security = etree.SubElement(header, f"{{{WSSE}}}Security", nsmap={"wsse": WSSE, "wsu": WSU})
        security.set(f"{{{soap}}}mustUnderstand", "1")
        if self._settings.timestamp:
            now, stamp = self._now(), etree.SubElement(security, f"{{{WSU}}}Timestamp")
            _text(stamp, f"{{{WSU}}}Created", _instant(now))
            _text(stamp, f"{{{WSU}}}Expires", _instant(now + _LIFE))
        self._add_token(security)
        return envelope, headers

    def verify(self, _envelope: etree._Element) -> None:
        """zeep would have answers verified; they carry no token."""

    def _add_token(self, security: etree._Element) -> None:
        nonce, created = os.urandom(16), _instant(self._now())
        password = self._settings.password.get_secret_value()
        if self._settings.type == "digest":
            password = digest(nonce, created, password)
        token = etree.SubElement(security, f"{{{WSSE}}}UsernameToken")
        _text(token, f"{{{WSSE}}}Username", self._settings.username)
        _text(token, f"{{{WSSE}}}Password", password).set("Type", _PROFILE + _KINDS[self._settings.type])
        _text(token, f"{{{WSSE}}}Nonce", base64.b64encode(nonce).decode()).set("EncodingType", _BASE64)
        _text(token, f"{{{WSU}}}Created", created)


def _text(parent: etree._Element, tag: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, tag)
    element.text = text
    return element


def digest(nonce: bytes, created: str, password: str) -> str:
    """Base64(SHA-1(nonce + created + password)): the profile, section 3.1."""
    return base64.b64encode(hashlib.sha1(nonce + created.encode() + password.encode()).digest()).decode()


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
