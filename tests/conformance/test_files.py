"""The files source keeps the standard."""

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from topline.sources.base import Context, Source
from topline.sources.files import Settings, create

HEADER = "id,value\n"


Rows = Sequence[tuple[str, str | None]]


@dataclass(frozen=True)
class Format:
    """How the files of an origin are written. `corrupt`: a file with a broken record behind the first row, and its bytes."""

    suffix: str
    write: Callable[[Rows], bytes]
    corrupt: Callable[[Rows], tuple[bytes, bytes]]
    options: Mapping[str, Any] = field(default_factory=dict)


def csv(rows: Rows) -> bytes:
    return HEADER.encode() + b"".join(line(*row) for row in rows)


def corrupt_csv(rows: Rows) -> tuple[bytes, bytes]:
    raw = b'broken,"\xff quote" and more,fields\r\n'
    return HEADER.encode() + line(*rows[0]) + raw + b"".join(line(*row) for row in rows[1:]), raw


def wide(rows: Rows) -> bytes:
    text = "".join(line(*row).decode().replace(",", "|+|", 1) for row in rows)
    return ("\ufeff" + HEADER.replace(",", "|+|") + text).encode("utf-16-be")


def corrupt_wide(rows: Rows) -> tuple[bytes, bytes]:
    raw = "broken|+|\ud800\n".encode("utf-16-be", "surrogatepass")
    first, rest = wide(rows[:1]), wide(rows[1:]).removeprefix(wide([]))
    return first + raw + rest, raw


def objects(rows: Rows) -> list[bytes]:
    return [json.dumps({"id": key, "value": value}, ensure_ascii=False).encode() for key, value in rows]


def ndjson(rows: Rows) -> bytes:
    return b"".join(record + b"\n" for record in objects(rows))


def corrupt_ndjson(rows: Rows) -> tuple[bytes, bytes]:
    raw = b'{"id": "broken", \xff}\n'
    return ndjson(rows[:1]) + raw + ndjson(rows[1:]), raw


def array(rows: Rows) -> bytes:
    return b"[\n  " + b",\n  ".join(objects(rows)) + b"\n]\n"


def corrupt_array(rows: Rows) -> tuple[bytes, bytes]:
    raw = b'{"id": "broken, "value": [\xff}'
    first, *rest = objects(rows)
    return b"[" + b",".join([first, raw, *rest]) + b"]", raw


def parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    columns = {"id": pa.array([key for key, _ in rows], pa.string()), "value": pa.array([v for _, v in rows], pa.string())}
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return sink.getvalue()


def corrupt_parquet(rows: Rows) -> tuple[bytes, bytes]:
    """A row of a Parquet file has no bytes of its own: its letter is JSON."""
    return parquet([rows[0], ("broken", "\0"), *rows[1:]]), b'{"id": "broken", "value": "\\u0000"}'


FORMATS = {
    "csv": Format(".csv", csv, corrupt_csv),
    "utf-16 with |+|": Format(".csv", wide, corrupt_wide, {"delimiter": "|+|"}),
    "ndjson": Format(".jsonl", ndjson, corrupt_ndjson),
    "json": Format(".json", array, corrupt_array),
    "parquet": Format(".parquet", parquet, corrupt_parquet),
}


class FilesOrigin(Origin):
    """Three files, each the home of some keys; every change of a key writes its file anew, a second later than the last."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "a file has no transactions: its rows become visible as they are read",
    }

    def __init__(self, root: Path, how: Format = FORMATS["csv"]) -> None:
        self._how = how
        self._root, self._inbox, self._tick = root, root / "inbox", 1_700_000_000
        self._files: dict[str, dict[str, str | None]] = {}
        self._inbox.mkdir()

    def source(self) -> Source:
        table = {"path": f"inbox/*{self._how.suffix}", **self._how.options}
        settings = {"kind": "files", "settle": 0.01, "poll": 0.01, "tables": {"things": table}}
        context = Context("origin", {"things": TABLE}, self._root, self._root / ".topline")
        return create(context, Settings.model_validate(settings))

    def put(self, rows: Mapping[str, str | None]) -> None:
        for key, value in rows.items():
            self._files.setdefault(self._home(key), {})[key] = value
        self._write({self._home(key) for key in rows})

    def _home(self, key: str) -> str:
        return f"f{ord(key[-1]) % 3}{self._how.suffix}"

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
        data, raw = self._how.corrupt([*good.items()])
        self._place(f"corrupt{self._how.suffix}", data)
        return raw

    def _write(self, names: set[str]) -> None:
        for name in sorted(names):
            self._place(name, self._how.write([*self._files[name].items()]))

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
    @pytest.fixture(params=FORMATS)
    def origin(self, tmp_path: Path, request: pytest.FixtureRequest) -> Origin:
        return FilesOrigin(tmp_path, FORMATS[request.param])
