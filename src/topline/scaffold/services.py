"""Looks at a WSDL: the operations that list rows, and the fields of those rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from topline.errors import ConfigError
from topline.scaffold.found import Found, FoundColumn, FoundTable
from topline.scaffold.words import identifier, rank, words
from topline.schema import Type
from topline.sources.soap import Settings
from topline.sources.soap.service import Service
from topline.sources.soap.shapes import Shape
from topline.sources.soap.wsdl import Operation

_DEPTH = 5
_FEWEST_FIELDS = 3  # an element with fewer is hardly a row
_NUMBERS = frozenset({"decimal", "double", "float", "integer", "int", "long", "short", "unsignedInt", "unsignedLong"})
# Placeholders of the soap source, by words of an argument's name.
_PLACEHOLDERS = (
    ("{token}", frozenset({"token", "cursor"})),
    ("{cursor}", frozenset({"since", "after", "changed", "modified", "updated"})),
    ("{page_size}", frozenset({"size", "limit", "max", "count", "rows"})),
    ("{page}", frozenset({"page"})),
    ("{offset}", frozenset({"offset", "skip", "start"})),
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where rows stand in an answer: the path to them, what one holds, and the path to the next page's token or ''."""

    path: str
    fields: tuple[str, ...]
    numbers: frozenset[str]
    next: str


def look_at_wsdl(location: str, root: Path) -> Found:
    """Every operation that lists rows, as a table. ConfigError where there is none; errors of loading come through."""
    anything = {"any": {"operation": "any", "rows": "any"}}
    service = Service(Settings.model_validate({"kind": "soap", "wsdl": location, "tables": anything}), root)
    wsdl = service.acquire()
    try:
        found = [(operation, rows) for operation in map(wsdl.operation, wsdl.operations) for rows in _rows_of(operation)]
        tables = tuple(_table(operation, rows) for operation, rows in found)
    finally:
        service.release()
    if not tables:
        raise ConfigError(f"no operation of {location} lists rows; it has: {', '.join(wsdl.operations)}")
    name = identifier(Path(urlsplit(location).path).stem or "partner")
    notes = ("The service's login, if it has one, goes into `basic:` or `username_token:` (docs/sources/soap.md).",)
    return Found("soap", name, (f"wsdl: {location}", "every: 60"), tables, {}, notes)


def _rows_of(operation: Operation) -> Iterator[_Rows]:
    """The nearest repeating elements of the answer that have fields."""
    front: list[tuple[str, Shape]] = [("", operation.gives)] if operation.gives is not None else []
    for _ in range(_DEPTH):
        below: list[tuple[str, Shape]] = []
        for path, shape in front:
            for child in shape.known.values():
                place, inner = f"{path}.{child.name}".lstrip("."), shape.child(child.name)
                texts = tuple(name for name, one in inner.known.items() if inner.child(name).is_text and not one.repeats)
                if child.repeats and len(texts) >= _FEWEST_FIELDS:
                    numbers = frozenset(name for name in texts if _is_number(inner.known[name].type))
                    yield _Rows(place, texts, numbers, _next(path, shape))
                elif not inner.is_text:
                    below.append((place, inner))
        front = below


def _next(path: str, shape: Shape) -> str:
    """A text beside the rows that is called the next page's token."""
    told = [name for name in shape.known if shape.child(name).is_text and {"next", "token", "cursor"} & set(words(name))]
    return f"{path}.{told[0]}".lstrip(".") if told else ""


def _is_number(type_: object) -> bool:
    return str(getattr(type_, "name", "")) in _NUMBERS


def _table(operation: Operation, rows: _Rows) -> FoundTable:
    columns, row = {field: identifier(field) for field in rows.fields}, rows.path.rpartition(".")[2]
    found = tuple(FoundColumn(ours, Type.TEXT, theirs in rows.numbers) for theirs, ours in columns.items())
    settings = [f"operation: {operation.name}", f"rows: {rows.path}", *_arguments(operation, rows)]
    return FoundTable(
        identifier(rows.path.rpartition(".")[2]),
        found,
        _key(list(columns.values()), row),
        (),
        0,
        tuple(settings),
        {ours: field for field, ours in columns.items() if ours != field},
    )


def _arguments(operation: Operation, rows: _Rows) -> list[str]:
    """What the operation takes; those whose meaning its name tells are filled in, the rest stand in a comment."""
    taken = list(operation.takes.known) if operation.takes is not None else []
    meant = {name: held for name in taken if (held := _placeholder(name)) is not None}
    used = dict(_usable(meant, rows))
    written = (
        [f"arguments: {{{', '.join(f'{name}: {chr(34)}{held}{chr(34)}' for name, held in used.items())}}}"] if used else []
    )
    others = [name for name in taken if name not in used]
    comment = [f"# arguments that it also takes: {', '.join(others)}"] if others else []
    cursor = [f"cursor: {{field: {_changed(rows.fields)}}}"] if "{cursor}" in used.values() else []
    return [*comment, *written, *cursor, *_paging(used, rows)]


def _paging(used: dict[str, str], rows: _Rows) -> list[str]:
    settings = ["size: 500"] if "{page_size}" in used.values() else []
    settings += [f"next: {rows.next}"] if "{token}" in used.values() else []
    paged = {"{page}", "{offset}", "{token}"} & set(used.values())
    return [f"paging: {{{', '.join(settings)}}}"] if paged else []


def _placeholder(name: str) -> str | None:
    found = set(words(name))
    return next((held for held, meaning in _PLACEHOLDERS if found & meaning), None)


def _usable(meant: dict[str, str], rows: _Rows) -> Iterator[tuple[str, str]]:
    """A token needs a path to the next one, a cursor a field to read on by, a size pages."""
    held = set(meant.values())
    paged = bool(held & {"{page}", "{offset}"}) or ("{token}" in held and bool(rows.next))
    for name, one in meant.items():
        serves = {"{token}": bool(rows.next), "{cursor}": bool(_changed(rows.fields)), "{page_size}": paged}
        if serves.get(one, True):
            yield name, one


def _changed(fields: Sequence[str]) -> str:
    told = [name for name in fields if {"changed", "modified", "updated"} & set(words(name))]
    return told[0] if told else ""


def _key(columns: list[str], row: str) -> tuple[str, ...]:
    """The column that is called the row's number; else the first that is called one, and is nobody else's."""
    ranked = [(place, at, name) for at, name in enumerate(columns) if (place := rank("id", name)) is not None]
    own = [found for found in ranked if set(words(row)) & set(words(found[2]))]
    free = [found for found in ranked if rank("salesman_id", found[2]) is None]
    return (min(own or free)[2],) if own or free else (columns[0],)
