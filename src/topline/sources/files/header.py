"""Which field of a CSV record is which column of the table."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from topline.sources.files.coding import Source
from topline.sources.files.opening import Opening, beginning
from topline.sources.files.quoted import Splitter
from topline.sources.files.shape import FileShape

_BLANK = re.compile(rb"(?:[ \t]*\r?\n)*")
_MOST = 1 << 20  # bytes that are looked at for a header


def before_header(data: bytes, comment: str) -> int:
    """Where the header begins: behind blank lines and comments."""
    mark, place = comment.encode(), 0
    while True:
        place = _BLANK.match(data, place).end()  # type: ignore[union-attr] # it matches nothing at least
        if not mark or not data.startswith(mark, place):
            return place
        place = data.find(b"\n", place) + 1 or len(data)


def opened_by(source: Source, shape: FileShape) -> FileShape:
    """The shape with what a file says at its beginning; of CSV with a header, the names of the fields too.

    ValueError where they do not serve. Reads the beginning of `source`.
    """
    begun, whole = beginning(source)
    opening = Opening.of(begun, shape.settings, whole=whole)
    shape = shape.opened(opening)
    if opening.coding.unsaid:
        raise ValueError(f"no byte-order mark: say encoding: {opening.coding.name}-le, or -be")
    if shape.settings.format != "csv" or shape.settings.header is not True:
        return shape
    stream, data = opening.stream(source, begun), b""
    while len(data) < _MOST and (piece := stream.read(_MOST)):
        data += piece
    start = before_header(data, shape.settings.comment)
    record = Splitter(shape.dialect).split(data, start, final=True)
    assert record is not None  # the end is final, so a record never goes on
    raw = data[start : record.end]
    names = names_in(record.fields, record.fault, raw, shape)
    places_of(names, shape)
    settings = shape.settings.model_copy(update={"header": names})
    return replace(shape, settings=settings, opening=replace(opening, header=raw))


def names_in(fields: Sequence[bytes | None], fault: str, raw: bytes, shape: FileShape) -> tuple[str, ...]:
    """The names in a header, without the spaces around them. ValueError where it cannot be read."""
    shape.coding.decode(raw)
    if fault:
        raise ValueError(f"the header cannot be read: {fault}")
    return tuple(shape.coding.decode(field or b"").strip() for field in fields)


def places_of(names: Sequence[str], shape: FileShape) -> dict[str, int]:
    """Where each column stands among the fields. ValueError where one does not, or not once.

    A name that is not there exactly is looked for with its case ignored, and with spaces and hyphens as underscores; the spaces
    around it, and whether its accents are letters of their own (Unicode's NFC), never tell two names apart.
    """
    exact, folded = Counter(names), Counter(map(name_alike, names))
    places: dict[str, int] = {}
    missing: list[str] = []
    twice: list[str] = []
    for column in shape.wanted:
        name = shape.field_of(column)
        if exact[name] == 1:
            places[column] = names.index(name)
        elif exact[name] == 0 and folded[name_alike(name)] == 1:
            places[column] = [name_alike(n) for n in names].index(name_alike(name))
        else:
            (twice if folded[name_alike(name)] else missing).append(name)
    if missing:
        expected = ", ".join(map(shape.field_of, shape.wanted))
        raise ValueError(f"the header lacks {', '.join(missing)}: found {_shown(names)}; expected {expected}")
    if twice or len(set(places.values())) < len(places):
        raise ValueError(f"the header names {', '.join(twice) or 'one field of two columns'} twice: found {_shown(names)}")
    return places


def name_alike(name: str) -> str:
    """What names that are taken for each other have in common."""
    return unicodedata.normalize("NFC", name.strip()).casefold().replace(" ", "_").replace("-", "_")


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(names)
    return shown if len(shown) <= 500 else f"{shown[:500]}... ({len(names)} names)"
