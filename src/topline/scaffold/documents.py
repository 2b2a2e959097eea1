"""Looks at a file, or at the newest one of a folder: how it is written, and what its columns hold."""

import tempfile
from pathlib import Path

from topline.errors import ConfigError
from topline.scaffold.found import Found, FoundColumn, FoundTable
from topline.scaffold.words import identifier, scalar
from topline.schema import Type
from topline.sources.files.content import Content
from topline.sources.files.record import FILE, LINE
from topline.sources.files.settings import MOST_UNPACKED
from topline.sources.files.sniff import SAMPLE, Proposal, propose, propose_parquet

_NUMBERS = ("number", "int", "uint", "float", "double", "decimal")  # kinds of a guess, and types of Parquet


def look_at_file(path: Path) -> Found:
    """One table of the rows in it. ConfigError where it is not there, or no columns can be seen."""
    chosen = _newest(path) if path.is_dir() else path
    if not chosen.is_file():
        raise ConfigError(f"{path} is no source: neither a file, nor postgres://..., a URL dialect+driver://..., nor a WSDL")
    proposal = _proposal(chosen)
    if proposal is None:
        raise ConfigError(f"{chosen} shows no columns: a first line that names them is expected, or JSON objects, or Parquet")
    name = identifier(path.name.partition(".")[0])
    columns = tuple(FoundColumn(guess.name, Type.TEXT, guess.kind.startswith(_NUMBERS)) for guess in proposal.columns)
    key = proposal.key
    if not key:  # nothing in the file tells its rows apart: every line is one
        key, columns = (FILE, LINE), (FoundColumn(FILE, Type.TEXT), FoundColumn(LINE, Type.TEXT), *columns)
    settings = (
        f"path: {scalar(str(path.resolve()))} # a folder, a glob or a list; what is dropped there is read too",
        *proposal.lines(),
    )
    table = FoundTable("rows", columns, key, (), 0, settings)
    return Found("files", name, (), (table,), {}, tuple(proposal.remarks))


def _newest(folder: Path) -> Path:
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if not files:
        raise ConfigError(f"{folder} holds no file to look at: name one, or drop one there first")
    return max(files, key=lambda path: path.stat().st_mtime_ns)


def _proposal(path: Path) -> Proposal | None:
    content = Content(path)
    try:
        data = content.read(SAMPLE)
        if data.startswith(b"PAR1"):
            with tempfile.TemporaryDirectory() as folder:
                return propose_parquet(content.seekable(Path(folder), MOST_UNPACKED))
        return propose(data, path.name)
    finally:
        content.close()
