"""CSV. Lines that prove regular go through pyarrow in one call; every other record through `quoted.Splitter`, in Python.

Regular: one record on one line, of the right number of fields, valid in the encoding, each quote opening or closing a
whole field, or doubled within one. Both ways give the same rows, which a property test holds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from topline.changes import Ints
from topline.sources.files.quoted import Dialect, Splitter
from topline.sources.files.record import Bad, Parsed, Row, decode, table_of

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_NEWLINE, _RETURN, _BOM = 10, 13, b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields of a record by name, and which of them to take, in the table's order; `key`: those never NULL."""

    header: tuple[str, ...]
    wanted: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def places(self) -> list[int]:
        return [self.header.index(name) for name in self.wanted]


@dataclass(frozen=True, slots=True)
class Lines:
    """A piece of a file cut into lines: byte i of line j lies in data[starts[j]:ends[j]] (without its line feed)."""

    data: bytes
    octets: Bytes
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, data: bytes) -> "Lines":
        octets = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(octets == _NEWLINE).astype(np.int64)
        if data and not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64) if len(ends) else ends
        return cls(data, octets, starts, ends)

    def places(self, octet: int) -> Ints:
        return np.flatnonzero(self.octets == octet).astype(np.int64)

    def line_of(self, places: Ints) -> Ints:
        return np.searchsorted(self.ends, places)

    def holding(self, places: Ints) -> Mask:
        mask = np.zeros(len(self.ends), dtype=bool)
        mask[self.line_of(places)] = True
        return mask


class CsvParser:
    """Parses the records of one file; its header is known."""

    def __init__(self, columns: Columns, dialect: Dialect, encoding: str, fast: bool = True) -> None:
        self._columns, self._dialect, self._encoding, self._fast = columns, dialect, encoding, fast
        self._splitter = Splitter(dialect)
        self._schema = pa.schema([(name, pa.string()) for name in columns.wanted])

    def parse(self, data: bytes, line: int, final: bool) -> Parsed:
        lines = Lines.of(data)
        blank = _blank(lines)
        regular = self._regular(lines) & ~blank if self._fast else np.zeros(len(lines.ends), dtype=bool)
        slow, bad, stop = self._slowly(lines, np.flatnonzero(~regular & ~blank), regular, final)
        regular[stop:] = False
        chosen = np.flatnonzero(regular)
        rows = self._quickly(lines, chosen)
        merged, places = _merge(rows, chosen, *table_of(self._schema, slow))
        merged, places, keyless = self._without_key(merged, places, lines)
        found = sorted(Bad(place + line, raw, reason) for place, raw, reason in (*bad, *keyless))
        consumed = len(data) if stop == len(lines.ends) else int(lines.starts[stop])
        return Parsed(merged, places + line, tuple(found), consumed, stop)

    def _regular(self, lines: Lines) -> Mask:
        """Which lines prove to be one whole record that pyarrow reads exactly as `quoted.Splitter` would."""
        width, dialect = len(self._columns.header), self._dialect
        quotes = lines.places(ord(dialect.quote)) if dialect.quote else np.empty(0, np.int64)
        separators = lines.places(ord(dialect.delimiter))
        counts = _per_line(lines, separators[~_inside(lines, separators, quotes)] if len(quotes) else separators)
        regular: Mask = (counts == width - 1) & (lines.ends - lines.starts < dialect.max_bytes)
        regular &= ~_misquoted(lines, quotes, dialect)
        regular &= ~_holding_any(lines, [0, ord(dialect.escape)] if dialect.escape else [0])
        returns = lines.places(_RETURN)
        regular &= ~lines.holding(returns[~_followed_by_newline(lines, returns)])
        if _BOM in lines.data:  # pyarrow drops one at the beginning of what it is given
            regular &= lines.octets[lines.starts] != _BOM[0]
        return regular & ~self._undecodable(lines, regular)

    def _undecodable(self, lines: Lines, candidates: Mask) -> Mask:
        mask = np.zeros(len(lines.ends), dtype=bool)
        if lines.data.isascii() or _decodes(lines.data, self._encoding):
            return mask
        for place in np.flatnonzero(candidates & lines.holding(np.flatnonzero(lines.octets > 127).astype(np.int64))):
            mask[place] = not _decodes(lines.data[lines.starts[place] : lines.ends[place]], self._encoding)
        return mask

    def _slowly(self, lines: Lines, places: Ints, regular: Mask, final: bool) -> tuple[list[Row], list[Bad], int]:
        """Split the records that begin at `places`; lines that a record swallows are taken out of `regular`.

        Returns rows and bad records (by line, 0-based) and the line where a record begins that may go on in later bytes.
        """
        rows: list[Row] = []
        bad: list[Bad] = []
        free = 0
        for place in places.tolist():
            if place < free:
                continue
            start = int(lines.starts[place])
            record = self._splitter.split(lines.data, start, final)
            if record is None:
                return rows, bad, place
            free = place + 1
            if record.end > lines.ends[place] + 1:
                free = int(np.searchsorted(lines.starts, record.end))
                regular[place:free] = False
            raw = lines.data[start : record.end]
            try:
                rows.append((place, self._row(raw, record.fields, record.fault)))
            except ValueError as error:
                bad.append(Bad(place, raw, str(error)))
        return rows, bad, len(lines.ends)

    def _row(self, raw: bytes, fields: list[bytes | None], fault: str) -> list[str | None]:
        if fault:
            raise ValueError(fault)
        decode(raw, self._encoding)
        if len(fields) != len(self._columns.header):
            raise ValueError(f"{len(fields)} fields, where the header names {len(self._columns.header)}")
        return [None if (f := fields[place]) is None else f.decode(self._encoding) for place in self._columns.places]

    def _quickly(self, lines: Lines, chosen: Ints) -> pa.Table:
        if not len(chosen):
            return self._schema.empty_table()
        data = lines.data if len(chosen) == len(lines.ends) else _joined(lines, chosen)
        if not data.endswith(b"\n"):
            data += b"\n"  # without, pyarrow takes an empty last field for a quoted one where the field before it was
        if self._encoding != "utf-8" and not data.isascii():
            data = data.decode(self._encoding).encode()
        names = [f"f{place}" for place in range(len(self._columns.header))]
        wanted = [names[place] for place in self._columns.places]
        table = csv.read_csv(pa.BufferReader(data), **_options(names, wanted, self._dialect, len(data)))
        assert table.num_rows == len(chosen), "a line that proved regular was not one row"
        return pa.table(table.columns, schema=self._schema)

    def _without_key(self, rows: pa.Table, places: Ints, lines: Lines) -> tuple[pa.Table, Ints, list[Bad]]:
        """Rows without their key are no rows. They lie on one line, or on several up to the next record."""
        missing = np.zeros(len(places), dtype=bool)
        for name in self._columns.key:
            if rows[name].null_count:
                missing |= pc.is_null(rows[name]).to_numpy(zero_copy_only=False)
        if not missing.any():
            return rows, places, []
        return rows.filter(pa.array(~missing)), places[~missing], [self._keyless(int(p), lines) for p in places[missing]]

    def _keyless(self, place: int, lines: Lines) -> Bad:
        start = int(lines.starts[place])
        record = self._splitter.split(lines.data, start, final=True)
        assert record is not None
        fields = dict(zip(self._columns.header, record.fields, strict=True))
        empty = [name for name in self._columns.key if fields[name] is None]
        return Bad(place, lines.data[start : record.end], f"no key: {', '.join(empty)} is empty")


def _blank(lines: Lines) -> Mask:
    length = lines.ends - lines.starts
    blank: Mask = length == 0
    single = np.flatnonzero(length == 1)
    blank[single] = lines.octets[lines.starts[single]] == _RETURN
    return blank


def _per_line(lines: Lines, places: Ints) -> Ints:
    return np.searchsorted(places, lines.ends) - np.searchsorted(places, lines.starts)


def _inside(lines: Lines, separators: Ints, quotes: Ints) -> Mask:
    """Which separators have an odd number of quotes before them on their line."""
    before = np.searchsorted(quotes, separators)
    at_start = np.searchsorted(quotes, lines.starts)[lines.line_of(separators)]
    inside: Mask = (before - at_start) % 2 == 1
    return inside


def _misquoted(lines: Lines, quotes: Ints, dialect: Dialect) -> Mask:
    """Lines with a quote that is stray, or open at the line's end. On a line, quotes open and close in turn; of a doubled
    one, the first closes and the second opens again, side by side."""
    if not len(quotes):
        return np.zeros(len(lines.ends), dtype=bool)
    delimiter, quote = ord(dialect.delimiter), ord(dialect.quote)
    line = lines.line_of(quotes)
    opens = (np.arange(len(quotes)) - np.searchsorted(quotes, lines.starts)[line]) % 2 == 0
    preceding = lines.octets[np.maximum(quotes - 1, 0)]
    begins = (quotes == lines.starts[line]) | (preceding == delimiter) | (preceding == quote)
    following = lines.octets[np.minimum(quotes + 1, len(lines.octets) - 1)]
    closes = (quotes + 1 == lines.ends[line]) | (following == delimiter) | (following == quote)
    closes |= (following == _RETURN) & (quotes + 2 == lines.ends[line])
    wrong: Mask = lines.holding(quotes[np.where(opens, ~begins, ~closes)]) | (_per_line(lines, quotes) % 2 == 1)
    return wrong


def _holding_any(lines: Lines, octets: list[int]) -> Mask:
    mask = np.zeros(len(lines.ends), dtype=bool)
    for octet in octets:
        if octet in lines.data:
            mask |= lines.holding(lines.places(octet))
    return mask


def _followed_by_newline(lines: Lines, places: Ints) -> Mask:
    following: Mask = places + 1 == lines.ends[lines.line_of(places)]
    return following


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _joined(lines: Lines, chosen: Ints) -> bytes:
    view = lines.data
    return b"".join(
        [view[s:e] + b"\n" for s, e in zip(lines.starts[chosen].tolist(), lines.ends[chosen].tolist(), strict=True)]
    )


def _options(names: list[str], wanted: list[str], dialect: Dialect, size: int) -> dict[str, object]:
    return {
        "read_options": csv.ReadOptions(column_names=names, use_threads=False, block_size=size + 1),
        "parse_options": csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            double_quote=True,
            escape_char=False,
            newlines_in_values=False,
            ignore_empty_lines=False,
        ),
        "convert_options": csv.ConvertOptions(
            column_types={name: pa.string() for name in wanted},
            include_columns=wanted,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            check_utf8=False,
        ),
    }


def _merge(left: pa.Table, left_places: Ints, right: pa.Table, right_places: Ints) -> tuple[pa.Table, Ints]:
    """Two tables as one, in the order of their lines."""
    if not len(right_places):
        return left, left_places
    if not len(left_places):
        return right, right_places
    places = np.concatenate((left_places, right_places))
    order = np.argsort(places, kind="stable")
    return pa.concat_tables([left, right]).take(pa.array(order)), places[order]
