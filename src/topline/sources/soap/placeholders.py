"""What an argument may leave open until a page is asked for: `{cursor}`, `{page}`, `{page_size}`, `{offset}`, `{token}`."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

NAMES = ("cursor", "page", "page_size", "offset", "token")

Values = Mapping[str, object]

_PLACE = re.compile(rf"\{{({'|'.join(NAMES)})(?::([^{{}}]*))?\}}")
_LIKE_ONE = re.compile(r"(?<!\$)\{([a-z_]+)\}")  # but not ${env:NAME}, nor {urn:namespace}Name


def placeholders(arguments: Any) -> Iterator[tuple[str, str | None]]:
    """(name, format or None) of every placeholder in nested arguments."""
    for text in _texts(arguments):
        yield from ((found[1], found[2]) for found in _PLACE.finditer(text))


def strangers(arguments: Any) -> list[str]:
    """Names that stand there like a placeholder, and are none."""
    found = {match[1] for text in _texts(arguments) for match in _LIKE_ONE.finditer(text)}
    return sorted(found - set(NAMES))


def _texts(arguments: Any) -> Iterator[str]:
    match arguments:
        case str():
            yield arguments
        case dict():
            for value in arguments.values():
                yield from _texts(value)
        case list() | tuple():
            for value in arguments:
                yield from _texts(value)


def fill(arguments: Any, values: Values, zone: tzinfo) -> Any:
    """`arguments` with their placeholders filled in. One that has no value yet (None: no cursor before the first poll) leaves
    out the argument that it stands in, and what then holds nothing: the result is None where nothing is left. `zone`: in which
    a formatted cursor is written."""
    match arguments:
        case str():
            return _fill_text(arguments, values, zone)
        case dict():
            filled = ((name, value, fill(value, values, zone)) for name, value in arguments.items())
            result = {name: full for name, value, full in filled if full is not None or value is None}
            return result if result or not arguments else None
        case list() | tuple():
            items = [full for value in arguments if (full := fill(value, values, zone)) is not None or value is None]
            return items if items or not arguments else None
    return arguments


def _fill_text(text: str, values: Values, zone: tzinfo) -> str | None:
    if any(values.get(found[1]) is None for found in _PLACE.finditer(text)):
        return None
    return _PLACE.sub(lambda found: _written(values[found[1]], found[2], zone), text)


def _written(value: object, pattern: str | None, zone: tzinfo) -> str:
    """An instant as ISO 8601 in UTC, or as its `strftime` pattern wants it, in the source's zone. A number plainly."""
    if isinstance(value, datetime):
        if pattern:
            return value.astimezone(zone).strftime(pattern)
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return format(value, "f") if isinstance(value, Decimal) else str(value)
