"""What zeep asks the network and the disk for: documents of a WSDL, vetted; and where the envelopes go that it made."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from lxml import etree

from topline.errors import SourceHalted, TransientError
from topline.sources.soap.http import Http, address, refused_status
from topline.sources.soap.settings import SoapSettings
from topline.sources.soap.wellknown import well_known
from topline.sources.soap.xml import Broken, Refused, parse


class Request(NamedTuple):
    """An envelope on its way to the server."""

    address: str
    body: bytes
    headers: Mapping[str, str]


class Transport:
    """What zeep asks to load documents and to send envelopes."""

    def __init__(self, http: Http, settings: SoapSettings) -> None:
        self._http = http
        self._remote = "://" in settings.wsdl
        self._base = address(settings.wsdl) if self._remote else None
        own = () if self._base is None else (self._base.host,)
        self._hosts = {name.strip("[]").lower() for name in (*own, *settings.import_hosts)}

    def load(self, url: str) -> bytes:
        """A WSDL or schema: from a file, or over HTTP from an allowed host. It holds no DTD."""
        known = well_known(url)
        if known is not None:
            return known
        try:
            data = self._read(url)
            parse(data)
        except Refused as error:
            raise SourceHalted(f"{url} is refused: {error}") from None
        except Broken as error:
            kind = TransientError if "://" in url and not url.startswith("file:") else SourceHalted
            raise kind(f"{named(url)} is no WSDL or schema: {error}") from None
        return data

    def post_xml(self, address: str, envelope: etree._Element, headers: Mapping[str, str]) -> Request:
        """The request that zeep made; it is sent once zeep is left, whose faults are then told from the server's."""
        # zeep writes the action "None" for SOAP 1.2 operations without one
        cleaned = {name: value.replace('; action="None"', "") for name, value in headers.items()}
        return Request(address, etree.tostring(envelope, xml_declaration=True, encoding="utf-8"), cleaned)

    def _read(self, url: str) -> bytes:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https"}:
            return self._fetch(url)
        if self._remote:
            raise SourceHalted(f"the WSDL imports the file {url!r}: one from the network may only import from the network")
        try:
            return Path(unquote(parts.path) if parts.scheme == "file" else url).read_bytes()
        except OSError as error:
            raise SourceHalted(f"cannot read {url}: {error.strerror}") from None

    def _fetch(self, url: str) -> bytes:
        there = address(url)
        host = there.host.strip("[]")
        if host not in self._hosts:
            raise SourceHalted(f"the WSDL imports {there.shown}: if it may be loaded from there, add {host!r} to import_hosts")
        reply = self._http.get(url, known=self._base is not None and self._base.allows(there))
        if reply.status == 200:
            return reply.body
        kind = SourceHalted if refused_status(reply.status) else TransientError
        raise kind(f"{there.shown} cannot be loaded: HTTP {reply.status}")


def named(url: str) -> str:
    """A place for people, file or URL."""
    return address(url).shown if url.startswith(("http://", "https://")) else url
