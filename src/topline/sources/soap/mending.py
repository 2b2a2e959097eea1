"""An answer that is XML but for some characters: a control character, half a letter, a bare `&`. They cost their rows, not all.

Each is covered by `?` of the same length, so that the rest can be parsed; the rows in which they stand become dead letters.
"""

import re
from collections.abc import Iterator

# UTF-8 (RFC 3629, section 4) of what may stand in XML 1.0 (section 2.2, Char).
_LEGAL = rb"""
    [\t\n\r\x20-\x7f] | [\xc2-\xdf][\x80-\xbf]
  | \xe0[\xa0-\xbf][\x80-\xbf] | [\xe1-\xec\xee][\x80-\xbf]{2} | \xed[\x80-\x9f][\x80-\xbf]
  | \xef[\x80-\xbe][\x80-\xbf] | \xef\xbf[\x80-\xbd]
  | \xf0[\x90-\xbf][\x80-\xbf]{2} | [\xf1-\xf3][\x80-\xbf]{3} | \xf4[\x80-\x8f][\x80-\xbf]{2}
"""
_BYTES = re.compile(rb"(?:" + _LEGAL + rb")+ | (?P<illegal>.)", re.VERBOSE | re.DOTALL)
_REFERENCES = re.compile(
    rb"""
    <!\[CDATA\[.*?\]\]> | <!--.*?--> | <\?.*?\?>
  | & (?: amp | lt | gt | quot | apos ) ;
  | (?P<number> &\# (?: x (?P<hex>[0-9a-fA-F]{1,8}) | (?P<decimal>[0-9]{1,10}) ) ; )
  | (?P<bare> & )
    """,
    re.VERBOSE | re.DOTALL,
)

Span = tuple[int, int]


def mended(data: bytes) -> tuple[bytes, list[Span]]:
    """`data`, taken as UTF-8, with what no XML can hold covered, and where that stood; the same data where there is nothing."""
    spans = sorted({*_illegal_bytes(data), *_illegal_references(data)})
    if not spans:
        return data, []
    covered = bytearray(data)
    for begin, end in spans:
        covered[begin:end] = b"?" * (end - begin)
    return bytes(covered), spans


def _illegal_bytes(data: bytes) -> Iterator[Span]:
    return (found.span() for found in _BYTES.finditer(data) if found["illegal"] is not None)


def _illegal_references(data: bytes) -> Iterator[Span]:
    """Of characters that XML has not; and ampersands that begin no reference that it knows."""
    for found in _REFERENCES.finditer(data):
        if found["bare"] is not None:
            yield found.span()
        elif found["number"] is not None:
            code = int(found["hex"], 16) if found["hex"] is not None else int(found["decimal"])
            if not _is_char(code):
                yield found.span()


def _is_char(code: int) -> bool:
    return code in {0x9, 0xA, 0xD} or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
