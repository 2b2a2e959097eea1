"""The files source keeps the standard."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from topline.sources.base import Context, Source
from topline.sources.files import Settings, create

HEADER = "id,value\n"


class FilesOrigin(Origin):
    """Three files, each the home of some keys; every change of a key writes its file anew, a second later than the last."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "a file has no transactions: its rows become visible as they are read",
    }

    def __init__(self, root: Path) -> None:
        self._root, self._inbox, self._tick = root, root / "inbox", 1_700_000_000
        self._files: dict[str, dict[str, str | None]] = {}
        self._inbox.mkdir()

    def source(self) -> Source:
        settings = {"kind": "files", "settle": 0.01, "poll": 0.01, "tables": {"things": {"path": "inbox"}}}
        context = Context("origin", {"things": TABLE}, self._root, self._root / ".topline")
        return create(context, Settings.model_validate(settings))

    def put(self, rows: Mapping[str, str | None]) -> None:
        for key, value in rows.items():
            self._files.setdefault(f"f{ord(key[-1]) % 3}.csv", {})[key] = value
        self._write({f"f{ord(key[-1]) % 3}.csv" for key in rows})

    def delete(self, ids: Sequence[str]) -> None:
        for name, rows in self._files.items():
            if gone := rows.keys() & set(ids):
                self._files[name] = {key: value for key, value in rows.items() if key not in gone}
                self._write({name})

    def interrupt(self) -> None:
        self._inbox.rename(self._root / "away")

    def mend(self) -> None:
        (self._root / "away").rename(self._inbox)

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        first, *others = (line(key, value) for key, value in good.items())
        raw = b'broken,"\xff quote" and more,fields\r\n'
        self._place("corrupt.csv", HEADER.encode() + first + raw + b"".join(others))
        return raw

    def _write(self, names: set[str]) -> None:
        for name in sorted(names):
            lines = [line(key, value) for key, value in self._files[name].items()]
            self._place(name, HEADER.encode() + b"".join(lines))

    def _place(self, name: str, data: bytes) -> None:
        self._tick += 1
        hidden = self._inbox / f".{name}"
        hidden.write_bytes(data)
        os.utime(hidden, (self._tick, self._tick))
        hidden.rename(self._inbox / name)


def line(key: str, value: str | None) -> bytes:
    text = "" if value is None else '"' + value.replace('"', '""') + '"'
    return f"{key},{text}\n".encode()


class TestFiles(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return FilesOrigin(tmp_path)
