"""The base of all pulled sources keeps the standard, over a feed that lists a JSON file: whole, by a cursor, by flags."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from topline.errors import TransientError
from topline.sources.base import Context, Fault, Source
from topline.sources.polled import (
    Cursor,
    Deleted,
    Feed,
    Greatest,
    Page,
    PolledSettings,
    PolledSource,
    PolledTable,
    Record,
    begin,
)

BAD = b'{"value": "a record without its key"}'


class FileFeed:
    """Lists `rows.json`: [{id, value, version, gone}, ...], two records a page."""

    def __init__(self, path: Path, settings: PolledTable, keys: bool) -> None:
        self._path, self._settings, self._keys = path, settings, keys
        self.incremental, self.steady = settings.cursor is not None, keys

    def check(self) -> list[Fault]:
        return [] if self._path.exists() else [Fault(str(self._path), "not there", "put it there")]

    def pages(self, since: str | None) -> Iterator[Page]:
        rows, cursor = self._rows(), self._settings.cursor
        greatest = None if cursor is None else Greatest(cursor, PolledSettings().tz, since)
        if cursor is not None and since is not None:
            least = begin(since, cursor, PolledSettings().tz)
            rows = [row for row in rows if row["version"] >= least]
        for start in range(0, len(rows) + 1, 2):
            records = [_record(row) for row in rows[start : start + 2]]
            for row in rows[start : start + 2]:
                if greatest is not None:
                    greatest.see(row["version"])
            yield Page(records, greatest.text if greatest else None)

    def keys(self) -> Iterator[Page] | None:
        return self._listed() if self._keys else None

    def _listed(self) -> Iterator[Page]:
        yield Page([Record({"id": row["id"]}, b"", "") for row in self._rows() if "id" in row and not row.get("gone")])

    def reread(self, raw: bytes) -> Record:
        return _record(json.loads(raw))

    def close(self) -> None:
        pass

    def _rows(self) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = json.loads(self._path.read_text())
        except FileNotFoundError:
            raise TransientError(f"{self._path} is gone") from None
        return sorted(rows, key=lambda row: row["version"])


def _record(row: dict[str, Any]) -> Record:
    raw = BAD if "id" not in row else json.dumps(row).encode()
    return Record({**row, "gone": str(row.get("gone", False)).lower()}, raw, f"version {row['version']}")


class ListOrigin(Origin):
    """Every poll lists everything; what is missing is gone."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "a pulled source sees rows as it finds them, not the origin's transactions",
    }
    table = PolledTable()
    keys = False

    def __init__(self, root: Path) -> None:
        self._root, self._path, self._version = root, root / "rows.json", 0
        self._rows: dict[str, dict[str, Any]] = {}
        self._write()

    def source(self) -> Source:
        context = Context("origin", {"things": TABLE}, self._root, self._root / ".topline")
        return PolledSource(context, PolledSettings(every=0.01), {"things": self.table}, self._feed)

    def put(self, rows: Mapping[str, str | None]) -> None:
        for key, value in rows.items():
            self._version += 1
            self._rows[key] = {"id": key, "value": value, "version": self._version}
        self._write()

    def delete(self, ids: Sequence[str]) -> None:
        for key in ids:
            del self._rows[key]
        self._write()

    def interrupt(self) -> None:
        self._path.rename(self._root / "away")

    def mend(self) -> None:
        (self._root / "away").rename(self._path)

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        first, *others = good.items()
        self.put(dict([first]))
        self._version += 1
        self._rows[""] = {"version": self._version}
        self.put(dict(others))
        return BAD

    def _feed(self, table: str) -> Feed:
        return FileFeed(self._path, self.table, self.keys)

    def _write(self) -> None:
        hidden = self._root / "rows.new"
        hidden.write_text(json.dumps(list(self._rows.values())))
        hidden.rename(self._path)


class CursorOrigin(ListOrigin):
    """Read on by a rising version, with all keys compared at every other poll."""

    table = PolledTable(cursor=Cursor(field="version", type="number", overlap=2), compare_every=0.02)
    keys = True


class CursorAndListOrigin(CursorOrigin):
    """The origin cannot list keys alone: to compare is to list everything."""

    keys = False


class FlagOrigin(ListOrigin):
    """Read on by a rising version; a deleted row stays, and says so."""

    table = PolledTable(cursor=Cursor(field="version", type="number", overlap=2), deleted=Deleted(field="gone"))

    def delete(self, ids: Sequence[str]) -> None:
        for key in ids:
            self._version += 1
            self._rows[key] = {"id": key, "value": None, "version": self._version, "gone": True}
        self._write()


@pytest.mark.parametrize("kind", [ListOrigin, CursorOrigin, CursorAndListOrigin, FlagOrigin])
class TestPolled(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, kind: type[ListOrigin]) -> Origin:
        return kind(tmp_path)
