"""CSV. Lines that prove regular go through pyarrow in one call; every other record through `quoted.Splitter`, in Python.

Regular: one record on one line, of the right number of fields, valid in the encoding, each quote opening or closing a
whole field, or doubled within one. Both ways give the same rows, which a property test holds.

pyarrow takes one ASCII byte as delimiter. Any other is replaced, for it, by a control character that the piece does not hold.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from topline.changes import Ints
from topline.sources.files.coding import Coding
from topline.sources.files.lines import RETURN, Lines, Mask
from topline.sources.files.quoted import Dialect, Splitter
from topline.sources.files.record import Bad, Parsed, Row, table_of

_BOM = b"\xef\xbb\xbf"
_UNUSED = bytes([31, 30, 29, 28, *range(1, 9), 11, 12, *range(14, 28), 127])


@dataclass(frozen=True, slots=True)
class Columns:
    """A record has `width` fields. `places`: where the table's columns stand among them, by name; `key`: those never NULL.

    `header`: the bytes of the record that named them, which is skipped where it stands again; b"" for none. `fill`: fields that
    are missing at a record's end are NULL.
    """

    width: int
    places: dict[str, int]
    key: tuple[str, ...]
    header: bytes = b""
    fill: bool = False

    def filled(self, fields: list[bytes | None]) -> list[bytes | None]:
        """ValueError where these are not the fields of a record."""
        missing = self.width - len(fields)
        if missing < 0 or (missing and not self.fill):
            raise ValueError(f"{len(fields)} fields, where the header names {self.width}")
        return [*fields, *[None] * missing]


class CsvParser:
    """Parses the records of one file; its columns are known. Lines that begin with `comment` are skipped."""

    def __init__(self, columns: Columns, dialect: Dialect, coding: Coding, *, comment: bytes = b"", fast: bool = True) -> None:
        self._columns, self._dialect, self._coding, self._comment = columns, dialect, coding, comment
        self._fast = fast
        self._splitter = Splitter(dialect)
        self._schema = pa.schema([(name, pa.string()) for name in columns.places])

    def parse(self, data: bytes, line: int, final: bool) -> Parsed:
        lines = Lines.of(data)
        skipped = self._skipped(lines)
        plain, dialect = self._translated(lines)
        missing = self._missing(plain, dialect or self._dialect)
        regular = self._regular(plain, dialect, missing) & ~skipped if self._fast and dialect else lines.none()
        regular &= lines.lengths < self._dialect.max_bytes
        slow, bad, stop = self._slowly(lines, np.flatnonzero(~regular & ~skipped), regular, final)
        regular[stop:] = False
        chosen = np.flatnonzero(regular)
        rows = self._quickly(plain, chosen, missing[chosen], dialect or self._dialect)
        merged, places = _merge(rows, chosen, *table_of(self._schema, slow))
        merged, places, keyless = self._without_key(merged, places, lines)
        found = sorted(Bad(place + line, raw, reason) for place, raw, reason in (*bad, *keyless))
        consumed = len(data) if stop == len(lines) else int(lines.starts[stop])
        return Parsed(merged, places + line, tuple(found), consumed, stop)

    def _skipped(self, lines: Lines) -> Mask:
        """Lines that are no records: blank, a comment, the header once more."""
        skipped = lines.blank()
        if self._comment:
            skipped |= lines.beginning_with(self._comment)
        if self._columns.header:
            skipped |= lines.equal_to(self._columns.header)
        return skipped

    def _translated(self, lines: Lines) -> tuple[Lines, Dialect | None]:
        """The same lines with a delimiter that pyarrow takes; no dialect where the piece holds every byte that could be one."""
        delimiter = self._dialect.delimiter
        if len(delimiter) == 1 and delimiter.isascii():
            return lines, self._dialect
        special = self._dialect.quote + self._dialect.escape
        unused = next((bytes([octet]) for octet in _UNUSED if octet not in special and octet not in lines.data), b"")
        if not unused:
            return lines, None
        return Lines.of(lines.data.replace(delimiter, unused)), replace(self._dialect, delimiter=unused)

    def _missing(self, lines: Lines, dialect: Dialect) -> Ints:
        """How many fields each line has too few."""
        separators = lines.places(dialect.delimiter[0])
        quotes = _quotes(lines, dialect)
        counts = lines.per_line(separators[~_inside(lines, separators, quotes)] if len(quotes) else separators)
        return self._columns.width - 1 - counts

    def _regular(self, lines: Lines, dialect: Dialect, missing: Ints) -> Mask:
        """Which lines prove to be one whole record that pyarrow reads exactly as `quoted.Splitter` would."""
        regular: Mask = (missing >= 0) if self._columns.fill else (missing == 0)
        regular &= ~_misquoted(lines, _quotes(lines, dialect), dialect)
        regular &= ~lines.holding_any([0, *dialect.escape])
        returns = lines.places(RETURN)
        regular &= ~lines.holding(returns[~_followed_by_newline(lines, returns)])
        if _BOM in lines.data:  # pyarrow drops one at the beginning of what it is given
            regular &= lines.octets[np.minimum(lines.starts, len(lines.octets) - 1)] != _BOM[0]
        return regular & ~self._undecodable(lines, regular)

    def _undecodable(self, lines: Lines, candidates: Mask) -> Mask:
        mask = lines.none()
        if lines.data.isascii() or self._decodes(lines.data):
            return mask
        for place in np.flatnonzero(candidates & lines.holding_above(127)):
            mask[place] = not self._decodes(lines.data[lines.starts[place] : lines.ends[place]])
        return mask

    def _decodes(self, data: bytes) -> bool:
        try:
            data.decode(self._coding.inner)
        except UnicodeDecodeError:
            return False
        return True

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
        return rows, bad, len(lines)

    def _row(self, raw: bytes, fields: list[bytes | None], fault: str) -> list[str | None]:
        if fault:
            raise ValueError(fault)
        self._coding.decode(raw)
        fields = self._columns.filled(fields)
        return [None if (f := fields[p]) is None else self._coding.decode(f) for p in self._columns.places.values()]

    def _quickly(self, lines: Lines, chosen: Ints, missing: Ints, dialect: Dialect) -> pa.Table:
        if not len(chosen):
            return self._schema.empty_table()
        behind = [dialect.delimiter * count for count in missing.tolist()] if missing.any() else []
        data = lines.joined(
            chosen, behind
        )  # its line end counts: without, an empty last field takes after the quoted one before it
        if self._coding.inner != "utf-8" and not data.isascii():
            data = data.decode(self._coding.inner).encode()
        names = [f"f{place}" for place in range(self._columns.width)]
        wanted = [names[place] for place in self._columns.places.values()]
        table = csv.read_csv(pa.BufferReader(data), **_options(names, wanted, dialect, len(data)))
        assert table.num_rows == len(chosen), "a line that proved regular was not one row"
        columns = table.columns
        if dialect is not self._dialect and dialect.quote and dialect.quote in data:
            columns = [self._with_delimiters(column, dialect.delimiter) for column in columns]
        return pa.table(columns, schema=self._schema)

    def _with_delimiters(self, column: pa.ChunkedArray, unused: bytes) -> pa.ChunkedArray:
        """Within quotes the delimiter stands for itself."""
        return pc.replace_substring(column, unused.decode(), self._dialect.delimiter.decode(self._coding.inner))

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
        fields = self._columns.filled(record.fields)
        empty = [name for name in self._columns.key if fields[self._columns.places[name]] is None]
        return Bad(place, lines.data[start : record.end], f"no key: {', '.join(empty)} is empty")


def _quotes(lines: Lines, dialect: Dialect) -> Ints:
    return lines.places(dialect.quote[0]) if dialect.quote else np.empty(0, np.int64)


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
        return lines.none()
    delimiter, quote = dialect.delimiter[0], dialect.quote[0]
    line = lines.line_of(quotes)
    opens = (np.arange(len(quotes)) - np.searchsorted(quotes, lines.starts)[line]) % 2 == 0
    preceding = lines.octets[np.maximum(quotes - 1, 0)]
    begins = (quotes == lines.starts[line]) | (preceding == delimiter) | (preceding == quote)
    following = lines.octets[np.minimum(quotes + 1, len(lines.octets) - 1)]
    closes = (quotes + 1 == lines.ends[line]) | (following == delimiter) | (following == quote)
    closes |= (following == RETURN) & (quotes + 2 == lines.ends[line])
    wrong: Mask = lines.holding(quotes[np.where(opens, ~begins, ~closes)]) | (lines.per_line(quotes) % 2 == 1)
    return wrong


def _followed_by_newline(lines: Lines, places: Ints) -> Mask:
    following: Mask = places + 1 == lines.ends[lines.line_of(places)]
    return following


def _options(names: list[str], wanted: list[str], dialect: Dialect, size: int) -> dict[str, object]:
    return {
        "read_options": csv.ReadOptions(column_names=names, use_threads=False, block_size=size + 1),
        "parse_options": csv.ParseOptions(
            delimiter=dialect.delimiter.decode(),
            quote_char=dialect.quote.decode() or False,
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
