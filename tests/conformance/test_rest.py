"""The REST source keeps the standard: as a list in pages or in one piece, by a cursor, and by the origin's own token."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from tests.servers.http import Asked, Reply, Server
from topline.sources.base import Context, Source
from topline.sources.rest import Settings, create

SIZE = 2
Row = dict[str, Any]


class RestOrigin(Origin):
    """Every change of a row takes the next version. `table` are the settings; `answer` is the service."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "an HTTP service has no transactions: rows become visible as they are read",
    }
    table: ClassVar[Mapping[str, Any]]
    bad: ClassVar[bytes] = b'{"id": "bad" "value": "\xff"}'

    def __init__(self, root: Path) -> None:
        self._root, self._version = root, 0
        self._rows: dict[str, Row] = {}
        self.server = Server(self.answer)

    def source(self) -> Source:
        settings = {"kind": "rest", "url": self.server.url, "every": 0.01, "tables": {"things": dict(self.table)}}
        return create(
            Context("origin", {"things": TABLE}, self._root, self._root / ".topline"), Settings.model_validate(settings)
        )

    def put(self, rows: Mapping[str, str | None]) -> None:
        changed = dict(self._rows)
        for key, value in rows.items():
            self._version += 1
            changed[key] = {"id": key, "value": value, "version": self._version, "gone": False}
        self._rows = changed

    def delete(self, ids: Sequence[str]) -> None:
        self._rows = {key: row for key, row in self._rows.items() if key not in ids}

    def interrupt(self) -> None:
        self.server.down = True

    def mend(self) -> None:
        self.server.down = False

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        first, *others = good.items()
        self.put(dict([first]))
        self._version += 1
        self._rows = {**self._rows, "": {"version": self._version}}
        self.put(dict(others))
        return self.bad

    def listed(self, since: int = 0) -> list[Row]:
        return sorted((row for row in self._rows.values() if row["version"] >= since), key=lambda row: int(row["version"]))

    def answer(self, asked: Asked) -> Reply:
        raise NotImplementedError

    def close(self) -> None:
        self.server.close()
        assert self.server.fault is None, self.server.fault


def _json(rows: Sequence[Row]) -> bytes:
    return b"[" + b", ".join(RestOrigin.bad if "id" not in row else json.dumps(row).encode() for row in rows) + b"]"


class Pages(RestOrigin):
    """JSON in numbered pages up to an empty one; every poll lists everything, and what is missing is gone."""

    table: ClassVar = {"path": "/things", "rows": "data.items", "paging": {"by": "page", "param": "page"}}

    def answer(self, asked: Asked) -> Reply:
        start = SIZE * (int(asked.query["page"]) - 1)
        return Reply(b'{"data": {"items": ' + _json(self.listed()[start : start + SIZE]) + b"}}")


class Offsets(RestOrigin):
    """JSON by offset, with the number of all records in a header."""

    table: ClassVar = {
        "path": "/things",
        "paging": {"by": "offset", "param": "skip", "size": SIZE, "size_param": "take", "total": "header:X-Total"},
    }

    def answer(self, asked: Asked) -> Reply:
        start, rows = int(asked.query["skip"]), self.listed()
        return Reply(_json(rows[start : start + int(asked.query["take"])]), headers={"X-Total": str(len(rows))})


class Lines(RestOrigin):
    """NDJSON in one answer, with an entity tag."""

    table: ClassVar = {"path": "/things", "format": "ndjson"}
    bad: ClassVar[bytes] = b'{"id": "bad", \xff}\r\n'

    def answer(self, asked: Asked) -> Reply:
        body = b"".join(self.bad if "id" not in row else json.dumps(row).encode() + b"\n" for row in self.listed())
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        return Reply(body, 304 if asked.headers.get("if-none-match") == tag else 200, {"ETag": tag})


class Csv(RestOrigin):
    """CSV, its pages by the Link header."""

    table: ClassVar = {"path": "/things", "format": "csv", "paging": {"by": "link"}}
    bad: ClassVar[bytes] = b'bad,"\xff quote" and more,fields\r\n'

    def answer(self, asked: Asked) -> Reply:
        page, rows = int(asked.query.get("page", 0)), self.listed()
        start = SIZE * page
        link = {"Link": f'</things?page={page + 1}>; rel="next"'} if len(rows) > start + SIZE else {}
        return Reply(b"id,value\n" + b"".join(map(self._line, rows[start : start + SIZE])), headers=link)

    def _line(self, row: Row) -> bytes:
        if "id" not in row:
            return self.bad
        value = "" if row["value"] is None else '"' + row["value"].replace('"', '""') + '"'
        return f"{row['id']},{value}\n".encode()


class Rising(RestOrigin):
    """JSON read on by a rising version, its pages by a token; a deleted row stays, and says so."""

    table: ClassVar = {
        "path": "/things",
        "method": "POST",
        "params_in": "body",
        "rows": "items",
        "cursor": {"field": "version", "type": "number", "overlap": 2},
        "since": {"param": "filter.since", "rising": True},
        "deleted": {"field": "gone"},
        "paging": {"by": "cursor", "param": "page", "next": "next"},
    }

    def delete(self, ids: Sequence[str]) -> None:
        self.put(dict.fromkeys(ids))
        self._rows = {key: {**row, "gone": row["gone"] or key in ids} for key, row in self._rows.items()}

    def answer(self, asked: Asked) -> Reply:
        body = json.loads(asked.body)
        rows = self.listed(max(body.get("filter", {}).get("since", 0), int(body.get("page", "v0")[1:]) + 1))
        following = f'"v{rows[SIZE - 1]["version"]}"' if len(rows) > SIZE else "null"
        return Reply(b'{"next": ' + following.encode() + b', "items": ' + _json(rows[:SIZE]) + b"}")


class Tokens(RestOrigin):
    """The origin gives a token for the next poll, and forgets those that are older than five changes."""

    table: ClassVar = {
        "path": "/things",
        "rows": "items",
        "cursor": {"field": "sync", "type": "text"},
        "since": {"param": "token", "place": "body"},
        "deleted": {"field": "gone"},
        "paging": {"by": "cursor", "param": "page", "next": "next"},
    }
    delete = Rising.delete

    def answer(self, asked: Asked) -> Reply:
        since = int(asked.query.get("token", "v0")[1:])
        if since and since < self._version - 5:
            return Reply("expired", 410)
        rows = self.listed(max(since, int(asked.query.get("page", "v0")[1:])) + 1)
        body = {"sync": f"v{self._version}"} if len(rows) <= SIZE else {"next": f"v{rows[SIZE - 1]['version']}"}
        return Reply(json.dumps(body).encode()[:-1] + b', "items": ' + _json(rows[:SIZE]) + b"}")


@pytest.mark.parametrize("kind", [Pages, Offsets, Lines, Csv, Rising, Tokens])
class TestRest(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, kind: type[RestOrigin]) -> Iterator[Origin]:
        origin = kind(tmp_path)
        yield origin
        origin.close()
