"""A record that cannot be read stops no source, wherever it stands, and is kept byte for byte: for each kind of source.

Postgres has its own tests (tests/integration/postgres): a row of a table is always readable, but it may come without its key.
"""

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conformance.ledger import Ledger
from tests.conformance.origin import TABLE
from tests.servers.http import Reply, Server
from tests.soap_server.server import SoapServer
from tests.soap_server.services import SalesService, sale
from topline.sources import files, push, rest, soap, sql
from topline.sources.base import Context, Resume, Source
from topline.sources.push.bodies import CSV, NDJSON, Content
from topline.sources.spill import original

GOOD = [f"k{number}" for number in range(6)]
LARGE = 2 << 20  # more than a letter holds by itself


class Kind(ABC):
    """One way to bring records. `bad`: records that cannot be read, as they stand among the others."""

    bad: Sequence[bytes]

    def __init__(self, root: Path) -> None:
        self.root = root
        self.context = Context("origin", {"things": TABLE}, root, root / ".topline")
        self.context.state_dir.mkdir()

    @abstractmethod
    def good(self, key: str) -> bytes: ...

    @abstractmethod
    def source(self, records: Sequence[bytes]) -> Source:
        """One that reads these."""

    def kept(self, record: bytes) -> bytes:
        """What its letter holds."""
        return record

    def close(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of servers."""


class File(Kind):
    format = "csv"
    begin, between, end = b"id,value\n", b"", b""

    def source(self, records: Sequence[bytes]) -> Source:
        (self.root / f"a.{self.format}").write_bytes(self.begin + self.between.join(records) + self.end)
        table = {"path": f"a.{self.format}", "format": self.format}
        settings = files.Settings.model_validate({"settle": 0, "poll": 0.01, "tables": {"things": table}})
        return files.create(self.context, settings)


class CsvFile(File):
    bad = (
        b"torn\n",
        b"one,field,more\r\n",
        b"\xff\xfe\x00,bytes\r\n",
        b"nul\x00,x\n",
        b',"no key"\r\n',
        b'open,"never closed\n',
        b'"a"b,text after a quote\n',
        b"long," + b"x" * 10_000_000 + b"\n",
    )

    def good(self, key: str) -> bytes:
        return f"{key},v\n".encode()


JSON_BAD = (
    b'{"value": "no key"}',
    b'{"id": null}',
    b'{"id": "\xff\xfe"}',
    b'{"id": "\\u0000"}',
    b'{"id": "a", "value": }',
    b'{"id": "' + b"x" * LARGE + b'"}',
)


class NdjsonFile(File):
    format, begin = "ndjson", b""
    bad = (*(bad + b"\r\n" for bad in JSON_BAD), b"[1, 2]\n", b"no json\x00\n", b'{"id": "torn\n')

    def good(self, key: str) -> bytes:
        return json.dumps({"id": key, "value": "v"}).encode() + b"\n"


class JsonFile(File):
    format, begin, between, end = "json", b"[\n", b",\n", b"\n]\n"
    bad = JSON_BAD

    def good(self, key: str) -> bytes:
        return json.dumps({"id": key, "value": "v"}).encode()


class ParquetFile(Kind):
    """A row of Parquet has no bytes of its own: it is written as JSON."""

    bad = (b'{"id": null, "value": "v"}', '{"id": "a\\u0000b", "value": "ü"}'.encode())

    def good(self, key: str) -> bytes:
        return json.dumps({"id": key, "value": "v"}).encode()

    def source(self, records: Sequence[bytes]) -> Source:
        rows = [json.loads(record) for record in records]
        parquet.write_table(pa.Table.from_pylist(rows, schema=TABLE.arrow), self.root / "a.parquet")
        settings = files.Settings.model_validate({"settle": 0, "tables": {"things": {"path": "a.parquet"}}})
        return files.create(self.context, settings)


class Push(Kind):
    """Each record is a line of a body."""

    content, begin = Content(NDJSON), b""
    bad: Sequence[bytes] = (
        *JSON_BAD[:-1],
        JSON_BAD[-1][:-2],
        b"[1]",
        b"no json\x00",
        b'{"id": "torn',
        b'{"id": "a", "stranger": 1}',
    )

    def good(self, key: str) -> bytes:
        return json.dumps({"id": key, "value": "v"}).encode()

    def source(self, records: Sequence[bytes]) -> Source:
        made = push.create(self.context, push.Settings.model_validate({"tables": {"things": {"on_invalid": "keep"}}}))
        made.intakes[0].accept(self.begin + b"\n".join(records) + b"\n", self.content)
        return made


class PushCsv(Push):
    """A letter stands below its header, so that it can be read alone."""

    content, begin = Content(CSV), b"id,value\n"
    bad = (b"torn", b"one,field,more", b"\xff,bytes", b"nul\x00,x", b",no key", b"long," + b"x" * LARGE + b",")

    def good(self, key: str) -> bytes:
        return f"{key},v".encode()

    def kept(self, record: bytes) -> bytes:
        return self.begin + record + b"\n"


class Rest(Kind):
    table: ClassVar = {"path": "/things"}
    begin, between, end = b"[", b",\n", b"]"
    bad: Sequence[bytes] = (b'{"value": "no key"}', b'{"id": null}', b'{"id": "\xff\xfe"}', b'{"id": "\\u0000"}', b'"text"')

    def good(self, key: str) -> bytes:
        return json.dumps({"id": key, "value": "v"}).encode()

    def source(self, records: Sequence[bytes]) -> Source:
        body = self.begin + self.between.join(records) + self.end
        self.server = Server(lambda _: Reply(body))
        settings = {"kind": "rest", "url": self.server.url, "every": 60, "tables": {"things": self.table}}
        return rest.create(self.context, rest.Settings.model_validate(settings))

    def close(self) -> None:
        self.server.close()


class RestLines(Rest):
    table: ClassVar = {"path": "/things", "format": "ndjson"}
    begin, between, end = b"", b"", b""
    bad = tuple(bad + b"\r\n" for bad in (*Rest.bad, b"no json\x00", b'{"id": "torn'))

    def good(self, key: str) -> bytes:
        return super().good(key) + b"\n"


class Soap(Kind):
    bad = (
        b'<Sale xmlns="urn:example:sales" odd="&#233;"><id>1</id><value>no</value ><id>2</id></Sale>',
        b'<Sale xmlns="urn:example:sales"><value>no key</value></Sale>',
        '<Sale xmlns="urn:example:sales" ><id>1</id><value>ü &amp; <![CDATA[<]]></value><id>3</id></Sale>'.encode(),
    )

    def good(self, key: str) -> bytes:
        return sale(key, "v").encode()

    def source(self, records: Sequence[bytes]) -> Source:
        self.server, service = SoapServer(), SalesService()
        self.server.services["/sales"] = service
        service.strict, service.rows = False, [record.decode() for record in records]
        table = {
            "operation": "ListSales",
            "arguments": {"page": "{page}", "size": "{page_size}"},
            "paging": {"size": 4, "more": "ListSalesResult.more"},
            "rows": "ListSalesResult.Sales.Sale",
        }
        given = {"kind": "soap", "wsdl": f"{self.server.url}/wsdl/sales.wsdl", "every": 60, "tables": {"things": table}}
        return soap.create(self.context, soap.Settings.model_validate(given))

    def close(self) -> None:
        self.server.close()


class Sql(Kind):
    """A row of a database has no bytes of its own: it is written as JSON."""

    bad = (b'{"id": null, "value": "v"}', b'{"id": "a\\u0000b", "value": "v"}')

    def good(self, key: str) -> bytes:
        return json.dumps({"id": key, "value": "v"}).encode()

    def source(self, records: Sequence[bytes]) -> Source:
        with closing(sqlite3.connect(self.root / "a.db")) as connection, connection:
            connection.execute("CREATE TABLE things (id TEXT, value TEXT)")
            rows = [json.loads(record) for record in records]
            connection.executemany("INSERT INTO things VALUES (:id, :value)", rows)
        settings = {"kind": "sql", "url": "sqlite:///a.db", "every": 60, "tables": {"things": {}}}
        return sql.create(self.context, sql.Settings.model_validate(settings))


KINDS: list[type[Kind]] = [CsvFile, NdjsonFile, JsonFile, ParquetFile, Push, PushCsv, Rest, RestLines, Soap, Sql]
Mix = Callable[[list[bytes], list[bytes]], list[bytes]]
MIXES: dict[str, Mix] = {
    "first": lambda good, bad: bad + good,
    "middle": lambda good, bad: good[:3] + bad + good[3:],
    "last": lambda good, bad: good + bad,
    "in turn": lambda good, bad: [one for pair in zip_longest(good, bad) for one in pair if one is not None],
    "all": lambda _good, bad: bad,
}


OFTEN = ("middle", "all")


@pytest.fixture
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    made: Kind = request.param(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS, indirect=True, ids=[kind.__name__ for kind in KINDS])
@pytest.mark.parametrize("where", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in MIXES])
def test_poison_stops_no_source_and_is_kept_byte_for_byte(kind: Kind, where: str) -> None:
    records = MIXES[where]([kind.good(key) for key in GOOD], list(kind.bad))
    rows, letters = read(kind, records)
    assert sorted(letters) == sorted(map(kind.kept, kind.bad))
    assert sorted(rows) == ([] if where == "all" else GOOD)


def read(kind: Kind, records: list[bytes]) -> tuple[list[str], list[bytes]]:
    source, ledger = kind.source(records), Ledger()
    source.open(Resume())
    while not source.reached_end():
        if (batch := source.read(100, 0.05)) is not None:
            ledger.commit(batch)
            source.acknowledge(batch.positions)
    source.close()
    state = kind.context.state_dir
    return list(ledger.rows), [b"".join(original(letter.raw, state)) for letter in ledger.letters]
