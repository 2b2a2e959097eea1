"""The bytes of an element as they came, for a dead letter; lxml does not keep where an element stood, expat tells it."""

import re
from functools import cached_property
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from lxml import etree

_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")
_NAME = re.compile(r"<[^\s/>]+")


class Original:
    """Of one document: `data` as it came (empty where `root` was changed since), `root` as it was parsed. It is read a second
    time only when a letter is needed."""

    def __init__(self, data: bytes, root: etree._Element) -> None:
        self._data, self._root = data, root

    def bytes_of(self, element: etree._Element) -> bytes:
        """As they came, in UTF-8. Prefixes that are declared further out are declared in the first tag, so that it stands
        alone. Where the root was changed, the element is written anew."""
        span = self._spans.get(self._order.get(element, -1))
        if span is None:
            return etree.tostring(element, encoding="utf-8", with_tail=False)
        return _standing_alone(self._text[slice(*span)].decode(), element).encode()

    @cached_property
    def _order(self) -> dict[etree._Element, int]:
        return {element: place for place, element in enumerate(self._root.iter())}

    @cached_property
    def _spans(self) -> dict[int, tuple[int, int]]:
        """Place of each element in the document -> where its bytes begin and end; none where expat cannot read it."""
        reader = _Spans(self._text)
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


def _standing_alone(text: str, element: etree._Element) -> str:
    """`text` with the prefixes declared that it uses and that are declared further out. Namespaces without a prefix say
    nothing that is read here."""
    parent = element.getparent()
    outer = {} if parent is None else parent.nsmap
    own = _NAME.match(text)
    end = own.end() if own else 0
    first = text[: text.find(">")]
    needed = [
        f" xmlns:{prefix}={quoteattr(str(uri))}"
        for prefix, uri in outer.items()
        if prefix and f"xmlns:{prefix}" not in first and re.search(rf"(?<![\w.-]){re.escape(str(prefix))}:", text)
    ]
    return text[:end] + "".join(needed) + text[end:]
