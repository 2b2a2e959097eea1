"""The settings of a files source. docs/configuration.md is generated from the descriptions here."""

from pathlib import PurePath
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from topline.config import Settings
from topline.sources.files.coding import known_encoding
from topline.sources.files.moments import pattern_of
from topline.sources.files.storesettings import ObjectStores
from topline.sources.files.unpack import SUFFIXES as PACKED
from topline.sources.route import Routed

Format = Literal["csv", "ndjson", "json", "parquet"]

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".psv", ".txt"),
    "ndjson": (".ndjson", ".jsonl", ".json"),
    "json": (".json",),
    "parquet": (".parquet", ".pq"),
}
MOST_UNPACKED = 1 << 30
_FORBIDDEN = frozenset("\0\r\n")
_TELLING: dict[str, Format] = {suffix: name for name in ("ndjson", "json", "parquet") for suffix in SUFFIXES[name]}


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def format_of(path: str) -> Format:
    """The format that a path's last suffix tells; csv where it tells none."""
    name = PurePath(path)
    return _TELLING.get((name.with_suffix("") if name.suffix in PACKED else name).suffix, "csv")


class FileColumn(Settings):
    """What the files say differently of one column."""

    field: str = Field("", description="The column's name in the files, where it is another.")
    decimal: str = Field(
        "",
        max_length=1,
        description="Numbers: what stands before the decimals, such as ','. `1234,56` is read as 1234.56; what is not written "
        "so stays as it stands.",
    )
    thousands: str = Field(
        "",
        max_length=1,
        description="Numbers: what stands between groups of three digits, where they are grouped, such as '.' or a space.",
    )
    format: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        (),
        description="Dates and times: how they are written, or several ways, such as '%d/%m/%Y %H:%M'. They are read as "
        "2026-11-21 14:05:00; what is not written so, or is no day of the calendar, stays as it stands.",
    )
    zone: str = Field("", description="Times: the zone (IANA name) of those that carry none.")

    @field_validator("decimal", "thousands")
    @classmethod
    def _no_part_of_a_number(cls, value: str) -> str:
        if value and (value.isalnum() or value in "+-"):
            raise ValueError(f"{value!r} has another meaning in a number")
        return value

    @field_validator("format")
    @classmethod
    def _readable_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            pattern_of(text)
        alike = {text.replace("%d", "%m") for text in value}
        if len(alike) < len(value):
            raise ValueError("two formats read the same text differently: say the one that holds")
        return value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            return value and ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not an IANA time zone; write one such as Europe/Rome") from None

    @model_validator(mode="after")
    def _one_kind(self) -> "FileColumn":
        if (self.decimal or self.thousands) and (self.format or self.zone):
            raise ValueError("a column holds numbers (decimal, thousands) or times (format, zone), not both")
        if (self.decimal or ".") == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.thousands!r}")
        return self


class FileTable(Settings):
    """Where the files of one table lie, and how to read them."""

    path: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        min_length=1,
        description="Folder or glob (`inbox`, `inbox/*.csv`, `inbox/**/*.csv.gz`), or several, relative to the project; or the "
        "same in an object store (`s3://bucket/inbox/*.csv`, `gs://`, `az://`). Of a folder, the files with a suffix of the "
        "format are read, packed ones too (.gz, .zst, .bz2, .xz); names that begin with a dot never are.",
    )
    format: Format = Field(
        "csv",
        description="`csv`; `ndjson`, one JSON object a line; `json`, an array of objects, or objects one after another; "
        "`parquet`. By default what the suffix of `path` says, and csv where it says nothing.",
    )
    records: str = Field(
        "", description="JSON: where the array lies within an object, such as `data.sales`. '' for the document itself."
    )
    header: bool | tuple[str, ...] = Field(
        True,
        description="CSV: true, the first record names the columns; false, they are the declared columns in their order; "
        "a list names the columns of files without a header.",
    )
    delimiter: str = Field(
        ",",
        min_length=1,
        max_length=16,
        description="CSV: what separates fields, of any length: `;`, `|+|`, `\\t` for a tab. A first line `sep=;` wins.",
    )
    quote: str = Field(
        '"', max_length=1, description="CSV: what surrounds a field; doubled, it stands for itself. '' for none."
    )
    escape: str = Field(
        "", max_length=1, description="CSV: takes the next character as it stands, such as '\\\\'. '' for none."
    )
    comment: str = Field("", max_length=8, description="CSV: lines that begin with this are skipped, such as '#'. '' for none.")
    short: Literal["refuse", "fill"] = Field(
        "refuse",
        description="CSV: a record with fewer fields than the header names: refuse it (a dead letter), or add NULLs.",
    )
    encoding: str = Field(
        "utf-8",
        description="utf-8, utf-16-le, utf-16-be, utf-32-le, utf-32-be, or a single-byte encoding that contains ASCII, such as "
        "latin-1 or cp1252. A byte-order mark in a file wins; utf-16 and utf-32 stand for files that have one.",
    )
    max_line_bytes: int = Field(
        1 << 20,
        ge=1024,
        le=1 << 28,
        description="A longer record is a dead letter; its bytes are kept in a file of the state folder.",
    )
    max_unpacked_bytes: int = Field(
        MOST_UNPACKED,
        ge=1024,
        description="Of a packed file: what one record, or a Parquet file, may unpack to. Where it is more, the file as it "
        "lies there becomes a dead letter, and the disk does not fill.",
    )
    columns: dict[str, FileColumn] = Field(
        default_factory=dict, description="Column (as declared) -> its name and its way of writing in the files."
    )
    on_remove: Literal["keep", "retract"] = Field("keep", description="When a file goes away: keep its rows, or retract them.")
    on_empty: Literal["keep", "retract"] = Field(
        "keep",
        description="When a file read again has no row, or every file of the table is gone: keep the rows of before, "
        "or retract them.",
    )

    @model_validator(mode="before")
    @classmethod
    def _format_by_suffix(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "format" in values:
            return values
        formats = {format_of(path) for path in _several(values.get("path", ())) if isinstance(path, str)}
        return values | {"format": formats.pop()} if len(formats) == 1 else values

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        return known_encoding(value)

    @field_validator("quote", "escape", "comment")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not value.isascii() or not _FORBIDDEN.isdisjoint(value):
            raise ValueError(f"{value!r} must be ASCII and no line end")
        return value

    @field_validator("delimiter")
    @classmethod
    def _tab(cls, value: str) -> str:
        value = value.replace("\\t", "\t")
        if not _FORBIDDEN.isdisjoint(value):
            raise ValueError(f"{value!r} holds a line end")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> "FileTable":
        special = [c for c in (self.quote, self.escape) if c]
        if any(c in self.delimiter for c in special) or len(set(special)) < len(special):
            raise ValueError("delimiter, quote and escape must differ; a quote doubled needs no escape")
        try:
            self.delimiter.encode(self.encoding)
        except UnicodeEncodeError:
            raise ValueError(f"the delimiter {self.delimiter!r} does not exist in {self.encoding}") from None
        return self


class FilesSettings(Routed):
    """A watched set of folders. Files waiting together are read by (mtime, path)."""

    kind: Literal["files"] = Field("files", description="This kind of source.")
    settle: float = Field(
        2.0, ge=0, le=3600, description="Seconds for which a file's size and mtime must stand still before it is read."
    )
    poll: float | None = Field(
        None,
        gt=0,
        le=3600,
        description="Seconds between two looks at the places, or more where looks would take over a twentieth of a processor. "
        "Default: 0.5; 10 where a table lies in an object store.",
    )
    objects: ObjectStores = Field(default_factory=lambda: ObjectStores(), description="How to reach the object stores.")
    tables: dict[str, FileTable] = Field(min_length=1, description="Table (as declared in the models' sources) -> its files.")

    @property
    def pause(self) -> float:
        """Seconds between two looks. Listings of object stores are paid by the piece."""
        if self.poll is not None:
            return self.poll
        return 10.0 if any("://" in path for table in self.tables.values() for path in table.path) else 0.5
