"""The settings of a files source. docs/configuration.md is generated from the descriptions here."""

import codecs
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from topline.config import Settings

# Only encodings in which an ASCII byte always means itself: records are found by bytes, so that a broken one can be kept.
_ENCODINGS = ("utf-8", "ascii", "iso8859-", "cp125", "cp437", "cp850", "cp852", "cp858", "cp866", "koi8-r", "mac-roman")


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class FileTable(Settings):
    """Where the files of one table lie, and how to read them."""

    path: Annotated[tuple[str, ...], BeforeValidator(_several)] = Field(
        min_length=1,
        description="Folder or glob (`inbox`, `inbox/*.csv`, `inbox/**/*.csv.gz`), or several, relative to the project. Of a "
        "folder, the files with a suffix of the format are read; names that begin with a dot never are.",
    )
    format: Literal["csv", "ndjson"] = Field(
        "csv", description="`csv`, or `ndjson`: one JSON object a line. A name that ends in .gz is unpacked."
    )
    header: bool | tuple[str, ...] = Field(
        True,
        description="CSV: true, the first record names the columns; false, they are the declared columns in their order; "
        "a list names the columns of files without a header.",
    )
    delimiter: str = Field(",", min_length=1, max_length=1, description="CSV: what separates fields, one ASCII character.")
    quote: str = Field(
        '"', max_length=1, description="CSV: what surrounds a field; doubled, it stands for itself. '' for none."
    )
    escape: str = Field(
        "", max_length=1, description="CSV: takes the next character as it stands, such as '\\\\'. '' for none."
    )
    encoding: str = Field(
        "utf-8", description="utf-8 or a single-byte encoding that contains ASCII, such as latin-1 or cp1252."
    )
    max_line_bytes: int = Field(
        1 << 20,
        ge=1024,
        le=1 << 28,
        description="A longer record is a dead letter; its bytes are kept in a file of the state folder.",
    )
    on_remove: Literal["keep", "retract"] = Field("keep", description="When a file goes away: keep its rows, or retract them.")
    on_empty: Literal["keep", "retract"] = Field(
        "keep",
        description="When a file read again has no row, or every file of the table is gone: keep the rows of before, "
        "or retract them.",
    )

    @field_validator("encoding")
    @classmethod
    def _ascii_compatible(cls, value: str) -> str:
        try:
            name = codecs.lookup(value).name
        except LookupError:
            name = ""
        if not name.startswith(_ENCODINGS):
            raise ValueError(
                f"{value!r} is not utf-8 or a single-byte encoding that contains ASCII; convert such files to utf-8 first"
            )
        return name

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and (not value.isascii() or value in "\0\r\n"):
            raise ValueError(f"{value!r} must be one ASCII character and no line end")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> "FileTable":
        special = [c for c in (self.delimiter, self.quote, self.escape) if c]
        if len(set(special)) < len(special):
            raise ValueError("delimiter, quote and escape must differ; a quote doubled needs no escape")
        return self


class FilesSettings(Settings):
    """A watched set of folders. Files waiting together are read by (mtime, path)."""

    kind: Literal["files"] = Field("files", description="This kind of source.")
    settle: float = Field(
        2.0, ge=0, le=3600, description="Seconds for which a file's size and mtime must stand still before it is read."
    )
    poll: float = Field(0.5, gt=0, le=3600, description="Seconds between two looks at the folders.")
    tables: dict[str, FileTable] = Field(min_length=1, description="Table (as declared in the models' sources) -> its files.")
