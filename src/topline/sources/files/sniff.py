"""Looks at the beginning of a file and proposes how to read it: for `topline check`, and for a configuration to begin with.

A guess, made to be read by a person. Where a sample can be read in two ways, the proposal says so and takes neither.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, BinaryIO

import pyarrow as pa
import yaml
from pyarrow import parquet as pq

from topline.sources.files.coding import byte_order_mark
from topline.sources.files.settings import format_of
from topline.sources.files.sniff_csv import CsvGuess, guess_csv
from topline.sources.files.sniff_types import Guess, guess_column, named

SAMPLE = 1 << 20  # bytes: as many as `propose` wants to see
_RECORDS = 1000
_DEEPEST = 4
_BETWEEN = re.compile(r"[ \t\r\n,]*")


@dataclass(frozen=True, slots=True)
class Proposal:
    """How a file seems to be written.

    settings  what to say of its table (settings of FileTable, without `path`), only what is not the default
    columns   its columns: a name to declare, the file's own name, and a guess of what the values are
    key       columns that tell the sampled rows apart, the likeliest first; () where none does
    remarks   what the sample leaves open, for people
    """

    settings: Mapping[str, Any]
    columns: tuple[Guess, ...]
    key: tuple[str, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    def lines(self) -> list[str]:
        """The settings as YAML, a setting a line, ready to stand below a table's name in topline.yml; then the remarks."""
        return [*_yaml(self.settings), *(f"# {remark}" for remark in self.remarks)]


class _Flow(dict[str, Any]):
    """Settings that stand on one line."""


def _yaml(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and not isinstance(value, _Flow):
            yield f"{name}:"
            yield from (f"  {line}" for line in _yaml({inner: _Flow(said) for inner, said in value.items()}))
        else:
            plain = dict(value) if isinstance(value, _Flow) else value
            flow = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10_000)
            yield f"{name}: {flow.splitlines()[0]}"


def propose(data: bytes, name: str = "") -> Proposal | None:
    """What a file that begins with `data` (unpacked; SAMPLE bytes are enough, but Parquet wants all) seems to be.

    `name`: the file's, whose suffix helps to tell its format. None: no columns can be seen.
    """
    if data.startswith(b"PAR1"):
        return propose_parquet(BytesIO(data))
    encoding, remarks = _encoding(data)
    text = data[len(byte_order_mark(data)[0]) :].decode(encoding, "replace")
    settings: dict[str, Any] = {} if encoding == "utf-8" or byte_order_mark(data)[0] else {"encoding": encoding}
    format_ = _format(text, name)
    csv = format_ == "csv"
    found = _propose_csv(guess_csv(text, cut=len(data) >= SAMPLE)) if csv else _propose_json(text, format_, name)
    if found is None:
        return None
    return Proposal({**settings, **found.settings}, found.columns, found.key, (*remarks, *found.remarks))


def propose_parquet(file: BinaryIO) -> Proposal | None:
    """Of a Parquet file, which says itself what it holds. None where it cannot be read."""
    try:
        schema = pq.ParquetFile(file).schema_arrow
    except (pa.ArrowException, OSError):
        return None
    names = named(schema.names)
    columns = tuple(Guess(name, own.name, str(own.type)) for name, own in zip(names, schema, strict=True))
    fields = {guess.name: {"field": guess.field} for guess in columns if guess.needs_field}
    return Proposal({"format": "parquet", **({"columns": fields} if fields else {})}, columns)


def _encoding(data: bytes) -> tuple[str, list[str]]:
    marked = byte_order_mark(data)[1]
    if marked:
        return marked, []
    sample = data[:4096]
    for encoding, place in (("utf-16-le", 1), ("utf-16-be", 0)):
        if len(sample) > 3 and sample[place::2].count(0) > 0.6 * len(sample[place::2]) and not sample[1 - place :: 2].count(0):
            return encoding, []
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - 4 or error.reason != "unexpected end of data":
            single = "latin-1" if set(data) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"
            return single, [f"not UTF-8; {single} is a guess: look whether names with accents read well"]
    return "utf-8", []


def _format(text: str, name: str) -> str:
    head = text.lstrip()[:1]
    if head == "[":
        return "json"
    if head != "{":
        return "csv"
    first = next(line for line in text.splitlines() if line.strip())
    try:
        whole = isinstance(json.loads(first), dict)
    except ValueError:
        return "json"
    several = sum(bool(line.strip()) for line in text.splitlines()[:3]) > 1
    return "ndjson" if whole and (several or format_of(name) == "ndjson") else "json"


def _propose_json(text: str, format_: str, name: str) -> Proposal | None:
    records, path = _records(text)
    if not records:
        return None
    names = list(dict.fromkeys(key for record in records for key in record))
    texts = [[value if isinstance(value := record.get(key), str) else None for record in records] for key in names]
    settings: dict[str, Any] = {} if format_of(name) == format_ else {"format": format_}
    columns = _with_columns({**settings, **({"records": path} if path else {})}, names, texts)
    plain = [[None if value is None else str(value) for value in (record.get(key) for record in records)] for key in names]
    return Proposal(columns.settings, columns.columns, _key(columns.columns, plain), columns.remarks)


def _records(text: str) -> tuple[list[dict[str, Any]], str]:
    """Some objects, and where their array lies."""
    decoder, place = json.JSONDecoder(), 0
    values: list[Any] = []
    text = text.strip().removeprefix("[")
    while place < len(text) and len(values) < _RECORDS:
        place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr] # it matches nothing at least
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError:
            break
        values.append(value)
    records = [value for value in values if isinstance(value, dict)]
    if len(records) == 1:
        for path, inner in _arrays(records[0], ()):
            return inner, ".".join(path)
    return records, ""


def _arrays(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """The arrays of objects in an object."""
    for key, inner in value.items():
        if isinstance(inner, list) and inner and all(isinstance(item, dict) for item in inner):
            yield (*path, key), inner[:_RECORDS]
        elif isinstance(inner, dict) and len(path) < _DEEPEST:
            yield from _arrays(inner, (*path, key))


def _propose_csv(guess: CsvGuess | None) -> Proposal | None:
    if guess is None:
        return None
    texts = [[row[place] for row in guess.rows] for place in range(len(guess.names))]
    found = _with_columns(guess.settings, guess.names, texts)
    return Proposal(found.settings, found.columns, _key(found.columns, texts), (*guess.remarks, *found.remarks))


def _with_columns(settings: Mapping[str, Any], names: Sequence[str], texts: Sequence[Sequence[str | None]]) -> Proposal:
    """The settings with those of the columns. A column that could be read in two ways is read like the others of its kind."""
    guesses = [guess_column(name, own, values) for name, own, values in zip(named(names), names, texts, strict=True)]
    said = {guess.name: guess.settings for guess in guesses if guess.settings}
    remarks = tuple(f"{guess.name}: {guess.remark}" for guess in guesses if guess.remark)
    return Proposal({**settings, **({"columns": said} if said else {})}, tuple(guesses), (), remarks)


def _key(columns: Sequence[Guess], texts: Sequence[Sequence[str | None]]) -> tuple[str, ...]:
    found = [
        guess.name
        for guess, values in zip(columns, texts, strict=True)
        if len(values) > 1 and all(values) and len(set(values)) == len(values)
    ]
    likely = [name for name in found if name == "id" or name.endswith(("_id", "_no", "_number", "_key"))]
    return tuple((likely or found)[:1])
