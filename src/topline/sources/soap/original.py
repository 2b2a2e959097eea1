"""The bytes of an element as they came, for a dead letter; lxml does not keep where an element stood, expat tells it."""

import re
from collections.abc import Sequence
from functools import cached_property
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from lxml import etree

from topline.sources.soap.mending import Span, mended

_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")
_NAME = re.compile(rb"<[^\s/>]+")


class Original:
    """Of one document. It is read a second time only when a letter is needed.

    data   as it came; empty where the tree was changed since
    root   as it was parsed
    spoilt where characters stood that no XML can hold (see `mending`); `data` is then UTF-8
    """

    def __init__(self, data: bytes, root: etree._Element, spoilt: Sequence[Span] = ()) -> None:
        self._data, self._root, self._spoilt = data, root, spoilt

    def bytes_of(self, element: etree._Element) -> bytes:
        """As they came, in UTF-8. Prefixes that are declared further out are declared in the first tag, so that it stands
        alone. Where the tree was changed, the element is written anew."""
        span = self._span(element)
        if span is None:
            return etree.tostring(element, encoding="utf-8", with_tail=False)
        return _standing_alone(self._text[slice(*span)], element)

    def spoils(self, element: etree._Element) -> list[Span]:
        """The characters within the element that no XML can hold."""
        span = self._span(element) if self._spoilt else None
        return [] if span is None else [one for one in self._spoilt if span[0] <= one[0] < span[1]]

    def _span(self, element: etree._Element) -> Span | None:
        return self._spans.get(self._order.get(element, -1))

    @cached_property
    def _order(self) -> dict[etree._Element, int]:
        return {element: place for place, element in enumerate(self._root.iter())}

    @cached_property
    def _spans(self) -> dict[int, Span]:
        """Place of each element in the document -> where its bytes begin and end; none where expat cannot read it."""
        reader = _Spans(mended(self._text)[0] if self._spoilt else self._text)
        return reader.spans if len(reader.spans) == len(self._order) else {}

    @cached_property
    def _text(self) -> bytes:
        """The document in UTF-8."""
        encoding = self._root.getroottree().docinfo.encoding or "utf-8"
        try:
            return self._data if encoding.lower() in {"utf-8", "ascii"} else self._data.decode(encoding).encode()
        except (LookupError, UnicodeDecodeError):
            return b""


class _Spans:
    def __init__(self, data: bytes) -> None:
        self._data, self.spans = data, dict[int, tuple[int, int]]()
        self._open: list[tuple[int, int]] = []
        self._count = 0
        self._parser = expat.ParserCreate("utf-8")  # whatever it declares
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        try:
            self._parser.Parse(data, True)
        except expat.ExpatError:
            self.spans.clear()

    def _start(self, _name: str, _attributes: dict[str, str]) -> None:
        self._open.append((self._count, self._parser.CurrentByteIndex))
        self._count += 1

    def _end(self, _name: str) -> None:
        """An element without an end tag ends where it is reported; another one with the `>` of its end tag."""
        place, start = self._open.pop()
        at = self._parser.CurrentByteIndex
        tag = _TAG.match(self._data, start)
        empty = tag is not None and tag[0].endswith(b"/>")
        self.spans[place] = (start, tag.end() if tag is not None and empty else self._data.index(b">", at) + 1)


def _standing_alone(data: bytes, element: etree._Element) -> bytes:
    """`data` with the prefixes declared that it uses and that are declared further out. Namespaces without a prefix say
    nothing that is read here."""
    parent = element.getparent()
    outer = {} if parent is None else parent.nsmap
    own = _NAME.match(data)
    end = own.end() if own else 0
    first = data[: data.find(b">")]
    needed = [
        f" xmlns:{prefix}={quoteattr(str(uri))}".encode()
        for prefix, uri in outer.items()
        if prefix and f"xmlns:{prefix}".encode() not in first and re.search(rf"(?<![\w.-]){re.escape(prefix)}:".encode(), data)
    ]
    return data[:end] + b"".join(needed) + data[end:]
