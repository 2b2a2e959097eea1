"""The address of the next page, where a `Link` header tells it (RFC 8288)."""

import re

_PARAM = re.compile(r';\s*([\w!#$&+.^`|~*-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')
_LINK = re.compile(r'\s*<([^>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+\s*(?:=\s*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*))?)*)\s*(?:,|$)')


def _relations(params: str) -> list[str]:
    """The first `rel` among a link's parameters: names separated by spaces (section 3.3)."""
    for match in _PARAM.finditer(params):
        if match[1].lower() == "rel":
            return (match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2]) or "").lower().split()
    return []


def next_link(headers: list[str]) -> str | None:
    """The reference with rel=next in `Link` headers (RFC 8288 section 3)."""
    for header in headers:
        place = 0
        while match := _LINK.match(header, place):
            if "next" in _relations(match[2]):
                return match[1].strip()
            place = match.end()
            if place >= len(header):
                break
    return None
