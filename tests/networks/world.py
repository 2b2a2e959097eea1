"""The shipped project with every origin, and its results, behind a proxy each: an engine that runs all the while, a stream of
sales that does not know of the network, and the truth."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psycopg
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.object_store import ObjectStore
from tests.polling import until
from tests.project import TestProject, embedded_dsn, new_project
from tests.servers import http
from tests.servers.proxy import Proxy, address
from topline.cli.running import Session, session
from topline.config import load_project
from topline.embedded.partner import PartnerService, book_of
from topline.embedded.partner.book import Book, stamp
from topline.generate import Generator, Options, compare
from topline.live.audit import audit_results
from topline.live.start import load_plan
from topline.log import LogReader
from topline.results import Snapshot

Door = Literal["shop", "branches", "partner", "results"]
Kind = Literal["soap", "rest"]
SOURCES: tuple[Door, ...] = ("shop", "branches", "partner")
PATIENCE = 90.0  # seconds; the machine may be busy
SILENCE = 2  # seconds after which a silent server counts as lost, where it can be set
RATE = 40.0
_BUCKET = "branches"


@dataclass(frozen=True)
class Stood:
    """How far everything was: changes of each source, and the epochs of log and results."""

    changes: dict[str, int]
    logged: int
    published: int


class World:
    """`proxies`: door -> its proxy. Built on a project whose embedded server runs.

    With a partner asked as REST, the branches' files are local: one process has one object store.
    """

    def __init__(self, project: TestProject, stack: ExitStack, kind: Kind, history: int = 200) -> None:
        self.project, self._stack = project, stack
        self.recoveries: list[float] = []  # seconds from when the network was well again
        self.book = book_of(project.folder / ".topline", "partner")
        self.generator = self._generator(history)
        self.generator.prepare()
        self.results_dsn = embedded_dsn(project, "topline")
        targets: dict[Door, tuple[str, int]] = {
            "shop": address(embedded_dsn(project, "shop")),
            "partner": address(self._partner(kind)),
            "results": address(self.results_dsn),
        }
        self._mirror: Mirror | None = None
        if kind == "soap":
            store = ObjectStore()
            stack.callback(store.close)
            self._mirror = Mirror(project.folder / "inbox", store)
            targets["branches"] = address(store.url)
        self.proxies = {door: Proxy(target) for door, target in targets.items()}
        for proxy in self.proxies.values():
            stack.callback(proxy.close)
        self._configure(kind)

    def start(self) -> None:
        """The stream, the mirror, and the engine."""
        self._stack.enter_context(self.selling())
        self.running = self._stack.enter_context(engine(self.project))

    @contextmanager
    def selling(self) -> Iterator[None]:
        with nullcontext() if self._mirror is None else self._mirror.running():
            self.generator.start()
            try:
                yield
            finally:
                self.generator.stop()

    def send_nowhere(self, door: Door) -> None:
        """Its host has a name that nobody knows (RFC 2606)."""
        here, there = f"127.0.0.1:{self.proxies[door].port}", f"nowhere.invalid:{self.proxies[door].port}"
        for path in (self.project.folder / "topline.yml", self.project.folder / ".env"):
            text = path.read_text().replace(here, there)
            path.write_text(text.replace(f"host=127.0.0.1 port={self.proxies[door].port}", f"host=nowhere.invalid port={1}"))

    # what is seen

    def stood(self) -> Stood:
        engine = self.running.started.engine
        return Stood(dict(engine.counts.by_source), engine.machinery.log.epoch, self.published())

    def published(self) -> int:
        """The epoch that the results show, asked beside the proxy."""
        with psycopg.connect(self.results_dsn) as connection, suppress(psycopg.errors.UndefinedTable):
            row = connection.execute("SELECT epoch FROM topline._topline_writer").fetchone()
            return int(row[0]) if row else 0
        return 0

    def reasons(self) -> list[str]:
        """Why /readyz says no; none where it says yes."""
        try:
            with urllib.request.urlopen(f"{self.running.url}/readyz", timeout=60):
                return []
        except urllib.error.HTTPError as error:
            answer: dict[str, Any] = json.loads(error.read())
            return list(answer["errors"]) or [str(answer["detail"])]

    def named(self, door: Door) -> str:
        """What /readyz says of it, since when and why; '' while it says nothing."""
        begins = "results: " if door == "results" else f"source {door}: down: "
        return next((reason for reason in self.reasons() if reason.startswith(begins) and "since 20" in reason), "")

    def ready(self) -> bool:
        return not self.reasons()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.project.json("status", expect=None)
        return found

    # the truth

    def require_audited(self) -> None:
        """What is published is the models' SQL over the log, as of the epoch that it names; also while all goes on."""
        loaded = load_project(self.project.folder)
        plan = load_plan(loaded)
        published = {name: model.schema for name, model in plan.models.items() if model.published}
        reader = LogReader.open(loaded.state_dir, loaded.config.project)
        with reader as log, log.pin(), Snapshot(self.results_dsn, "topline", published) as snapshot:
            epochs = {name: epoch for name, epoch in snapshot.epochs.items() if epoch}
            assert [one for one in audit_results(log, plan, epochs, snapshot.rows) if not one.equal] == []

    def require_exact(self) -> None:
        """Once nothing more is sold: the results are those of the ledger, row for row, none lost and none twice."""
        self.generator.stop()
        if self._mirror is not None:
            self._mirror.copy()
        until(lambda: not any(self.differences().values()), timeout=PATIENCE, every=0.5, what="the results are the ledger's")
        self.require_audited()

    def differences(self) -> dict[str, list[str]]:
        return compare(embedded_dsn(self.project, "ledger"), self.results_dsn, "topline", "Europe/Rome")

    # how it is put together

    def _generator(self, history: int) -> Generator:
        return Generator(
            Options(
                shop_dsn=embedded_dsn(self.project, "shop"),
                folder=self.project.folder / "inbox",
                partner=self.book,
                ledger_dsn=embedded_dsn(self.project, "ledger"),
                rate=RATE,
                history=history,
            )
        )

    def _partner(self, kind: Kind) -> str:
        if kind == "soap":
            return self._stack.enter_context(PartnerService(self.book)).wsdl
        server = http.Server(PartnerAsRest(self.book))
        self._stack.callback(server.close)
        return server.url

    def _configure(self, kind: Kind) -> None:
        folder = self.project.folder
        written = yaml.safe_load((folder / "topline.yml").read_text())
        written["results"]["dsn"] = "${env:RESULTS}"
        written["sources"]["shop"] |= {"dsn": "${env:SHOP}", "heartbeat": 0.5, "connect_timeout": 2, "silence": SILENCE}
        written["sources"]["branches"] |= self._branches() if self._mirror else {"settle": 0.1, "poll": 0.1}
        written["sources"]["partner"] = self._soap(written["sources"]["partner"]) if kind == "soap" else self._rest()
        written["api"]["port"] = 0
        (folder / "topline.yml").write_text(yaml.safe_dump(written))
        secrets = {"SHOP": self._by_proxy("shop"), "RESULTS": self._by_proxy("results"), "KEY": "id", "SECRET": "secret"}
        (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in secrets.items()))

    def _by_proxy(self, door: Literal["shop", "results"]) -> str:
        given = conninfo_to_dict(embedded_dsn(self.project, "shop" if door == "shop" else "topline"))
        through: dict[str, Any] = {**given, "host": "127.0.0.1", "port": self.proxies[door].port}
        return make_conninfo(**through)

    def _url(self, door: Door) -> str:
        return f"http://127.0.0.1:{self.proxies[door].port}"

    def _branches(self) -> dict[str, Any]:
        keys = {"access_key": "${env:KEY}", "secret_key": "${env:SECRET}"}
        table = {"path": f"s3://{_BUCKET}/in/*.csv", "format": "csv", "on_remove": "keep"}
        objects = {"endpoint": self._url("branches"), "silence": SILENCE, **keys}
        return {"settle": 0, "poll": 0.2, "objects": objects, "tables": {"sales": table}}

    def _soap(self, shipped: dict[str, Any]) -> dict[str, Any]:
        place = {"wsdl": f"{self._url('partner')}/sales?wsdl", "address": f"{self._url('partner')}/sales"}
        shipped["tables"]["entries"]["paging"]["size"] = 50
        return {**shipped, **place, "every": 0.2, "timeouts": _LIMITS}

    def _rest(self) -> dict[str, Any]:
        table = {
            "path": "/entries",
            "rows": "entries",
            "paging": {"by": "cursor", "param": "after", "next": "next", "size": 50, "size_param": "size"},
            "cursor": {"field": "changed_at", "overlap": 30},
            "since": {"param": "since", "rising": True},
            "deleted": {"field": "state", "values": ["C"]},
        }
        return {"kind": "rest", "url": self._url("partner"), "every": 0.2, "timeouts": _LIMITS, "tables": {"entries": table}}


_LIMITS = {"connect": SILENCE, "read": SILENCE, "total": 60}


class PartnerAsRest:
    """The partner's book as a JSON service."""

    def __init__(self, book: Path) -> None:
        self._book = book

    def __call__(self, asked: http.Asked) -> http.Reply:
        query = asked.query
        since = stamp(datetime.fromisoformat(query["since"])) if "since" in query else ""
        after = tuple(json.loads(query["after"])) if "after" in query else None
        size = int(query["size"])
        with Book.open(self._book) as book:
            found = book.changed(since, after, size + 1)
        page = found[:size]
        more = json.dumps([page[-1].changed_at, page[-1].id]) if len(found) > size else None
        return http.Reply(json.dumps({"entries": [asdict(entry) for entry in page], "next": more}))


class Mirror:
    """Brings the branches' files to the object store, beside the proxy."""

    def __init__(self, folder: Path, store: ObjectStore) -> None:
        self._folder, self._store = folder, store
        self._seen: dict[str, int] = {}
        self._stop = threading.Event()
        store.client.create_bucket(Bucket=_BUCKET)
        self.copy()

    def copy(self) -> None:
        for path in sorted(self._folder.glob("*.csv")):
            stamped = path.stat().st_mtime_ns
            if self._seen.get(path.name) != stamped:
                self._store.put(_BUCKET, f"in/{path.name}", path.read_bytes())
                self._seen[path.name] = stamped

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            self.copy()


@contextmanager
def engine(project: TestProject) -> Iterator[Session]:
    """An engine that runs meanwhile, in a thread of this process."""
    with session(load_project(project.folder)) as running:
        stop = threading.Event()
        thread = threading.Thread(target=running.run, args=(stop.is_set,), name="engine")
        thread.start()
        try:
            yield running
        finally:
            stop.set()
            thread.join(PATIENCE)


@contextmanager
def world(folder: Path, kind: Kind) -> Iterator[World]:
    """Made, begun and well; `kind`: how the partner is asked."""
    project = new_project(folder / "sales")
    with project.server() as server, ExitStack() as stack:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        made = World(project, stack, kind)
        made.start()
        until(lambda: well(made), timeout=PATIENCE, what="all is well")
        yield made


def well(world: World) -> bool:
    """Ready, and read from every source."""
    return world.ready() and all(world.stood().changes.get(source) for source in SOURCES)
