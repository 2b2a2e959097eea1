"""A project with a source of every kind, someone who sells in all of them, and what the rankings must come to."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import httpx2
import psycopg
import yaml

from tests.project import TestProject, embedded_dsn, new_project
from tests.servers.http import Asked, Reply, Server
from topline.embedded import EmbeddedPostgres
from topline.embedded.partner import Book, Entry, book_of
from topline.embedded.partner.book import stamp
from topline.generate.shop_writer import ShopWriter

MORE = ("web", "till", "ledger")  # staged as the branches' files are
SOURCES = ("shop", "branches", "partner", *MORE)
COLUMNS = ("sale_id", "sold_at", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency")
HEADER = ",".join(COLUMNS).encode() + b"\n"
FILES = 20  # of the branches; a sale always stands in the same one
QUICK = (
    "TOPLINE_SOURCES__BRANCHES__SETTLE=0.05",
    "TOPLINE_SOURCES__BRANCHES__POLL=0.2",
    "TOPLINE_SOURCES__BRANCHES__TABLES__SALES__ON_REMOVE=retract",
    "TOPLINE_SOURCES__PARTNER__EVERY=0.3",
)


@dataclass(frozen=True, slots=True)
class Sale:
    """`day`: an ISO date. `amount`: whole euros."""

    day: str
    city: str
    salesman: int
    amount: int

    def texts(self, sale: str) -> tuple[str, ...]:
        """In the order of COLUMNS."""
        name = f"Salesman {self.salesman}"
        return (sale, self.day, "Italy", "Lazio", self.city, str(self.salesman), name, f"{self.amount}.00", "EUR")


Changes = Mapping[str, Sale | None]


class Seller(Protocol):
    """One source. `sell` brings in or takes out sales by their id; OSError where the source does not take them now."""

    def sell(self, changes: Changes) -> None: ...


class Shop:
    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        ShopWriter(dsn).create()
        self._known: set[tuple[str, int]] = set()

    def sell(self, changes: Changes) -> None:
        with psycopg.connect(self._dsn, application_name="seller") as shop:
            for sale, found in changes.items():
                for table in ("orders", "order_items"):
                    shop.execute(f"DELETE FROM {table} WHERE order_id = %s".encode(), (sale,))
                if found is not None:
                    self._order(shop, sale, found)

    def _order(self, shop: psycopg.Connection[Any], sale: str, found: Sale) -> None:
        customer, salesman = f"c-{found.city}", str(found.salesman)
        row = (customer, "n", "Italy", "Lazio", found.city)
        shop.execute("INSERT INTO customers VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING", row)
        shop.execute("INSERT INTO salesmen VALUES (%s, %s) ON CONFLICT DO NOTHING", (salesman, f"Salesman {salesman}"))
        order = (sale, customer, salesman, f"{found.day} 12:00+00", "EUR", "placed")
        shop.execute("INSERT INTO orders VALUES (%s, %s, %s, %s, %s, %s)", order)
        shop.execute("INSERT INTO order_items VALUES (%s, 1, 'a', 'b', 1, %s)", (sale, found.amount))


class Branches:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._files: dict[int, dict[str, Sale]] = defaultdict(dict)

    def sell(self, changes: Changes) -> None:
        touched = {place(sale) for sale in changes}
        for sale, found in changes.items():
            rows = self._files[place(sale)]
            rows.pop(sale, None)
            if found is not None:
                rows[sale] = found
        for number in touched:
            lines = [",".join(found.texts(sale)).encode() + b"\n" for sale, found in self._files[number].items()]
            self.drop(f"branch-{number}.csv", HEADER + b"".join(lines))

    def drop(self, name: str, content: bytes) -> None:
        """As a branch should: written to another name, then renamed."""
        (self.folder / f".{name}").write_bytes(content)
        (self.folder / f".{name}").rename(self.folder / name)


def place(sale: str) -> int:
    return int(sale.rpartition("-")[2]) % FILES


class Partner:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._sold: dict[str, Sale] = {}

    def sell(self, changes: Changes) -> None:
        with Book.open(self._path) as book:
            book.put([self._entry(sale, found) for sale, found in changes.items()])

    def _entry(self, sale: str, found: Sale | None) -> Entry:
        state = "C" if found is None else "A"
        found = self._sold[sale] = found or self._sold.get(sale) or Sale("2026-03-01", "Roma", 1, 1)
        day = datetime.fromisoformat(found.day).strftime("%d.%m.%Y")
        texts = (day, "Italy", "Lazio", found.city, str(found.salesman), f"Salesman {found.salesman}", f"{found.amount},00")
        return Entry(sale, stamp(datetime.now(UTC)), sale, *texts, "EUR", state)


class Web:
    """Rows that are pushed to the engine's own API; where it does not answer, they wait here."""

    def __init__(self, state: Path) -> None:
        self._state, self._waiting = state, dict[str, Sale | None]()

    def sell(self, changes: Changes) -> None:
        """Those that did not come through before go with them."""
        self._waiting |= changes
        self.send([_document(sale, found) for sale, found in self._waiting.items()])
        self._waiting.clear()

    def send(self, rows: list[dict[str, Any]]) -> None:
        try:
            url = json.loads((self._state / "engine.json").read_text())["api"]
            answer = httpx2.post(f"{url}/api/v1/ingest/web.sales", json=rows, timeout=30)
        except (httpx2.HTTPError, ValueError) as error:
            raise OSError(str(error)) from error
        if answer.status_code != 202:
            raise OSError(answer.text)


def _document(sale: str, found: Sale | None) -> dict[str, Any]:
    if found is None:
        return {"sale_id": sale, "_deleted": True}
    return dict(zip(COLUMNS, found.texts(sale), strict=True))


class Till:
    """A service that lists all of its sales at each question."""

    def __init__(self) -> None:
        self._sales: dict[str, Sale] = {}
        self.server = Server(self._answer)

    def sell(self, changes: Changes) -> None:
        self._sales = {sale: found for sale, found in {**self._sales, **changes}.items() if found is not None}

    def _answer(self, _asked: Asked) -> Reply:
        return Reply(json.dumps([_document(sale, found) for sale, found in self._sales.items()]))


class Ledger:
    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path)) as connection:
            columns = ", ".join(f"{name} TEXT" for name in COLUMNS[1:])
            connection.execute(f"CREATE TABLE sales (sale_id TEXT PRIMARY KEY, {columns})")

    def sell(self, changes: Changes) -> None:
        marks = ", ".join("?" * len(COLUMNS))
        with closing(sqlite3.connect(self._path, timeout=60)) as connection, connection:
            for sale, found in changes.items():
                connection.execute("DELETE FROM sales WHERE sale_id = ?", (sale,))
                if found is not None:
                    connection.execute(f"INSERT INTO sales VALUES ({marks})", found.texts(sale))


class House:
    """`sellers` by source; `sold`: what each has sold and not taken back."""

    def __init__(self, project: TestProject, server: EmbeddedPostgres, sellers: Mapping[str, Seller]) -> None:
        self.project, self.server, self.sellers = project, server, sellers
        self.sold: dict[str, dict[str, Sale]] = {source: {} for source in SOURCES}

    def sell(self, source: str, changes: Changes) -> None:
        """OSError: the source takes nothing now; what it did not take it is told again with the next."""
        for sale, found in changes.items():
            self.sold[source].pop(sale, None)
            if found is not None:
                self.sold[source][sale] = found
        self.sellers[source].sell(changes)

    def wanted(self) -> dict[tuple[str, str], Decimal]:
        """(day, city) -> the total of its sales."""
        totals: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for sales in self.sold.values():
            for sale in sales.values():
                totals[sale.day, sale.city] += sale.amount
        return dict(totals)

    def published(self) -> dict[tuple[str, str], Decimal]:
        """The same, as PostgreSQL shows it."""
        with psycopg.connect(embedded_dsn(self.project, "topline")) as results:
            rows = results.execute("SELECT date::text, city, total_sales FROM topline.top_sales_by_city").fetchall()
        return {(day, city): total for day, city, total in rows}

    @property
    def state(self) -> Path:
        return self.project.folder / ".topline"


@contextmanager
def house(folder: Path, settings: tuple[str, ...] = ()) -> Iterator[House]:
    """Its PostgreSQL and its till run meanwhile."""
    project = new_project(folder, [*QUICK, *settings])
    with ExitStack() as stack:
        server = stack.enter_context(project.server())
        for database in ("shop", "topline"):
            server.dsn(database)
        till = Till()
        stack.callback(till.server.close)
        _declare(folder, till.server.url)
        state = folder / ".topline"
        sellers: dict[str, Seller] = {
            "shop": Shop(embedded_dsn(project, "shop")),
            "branches": Branches(folder / "inbox"),
            "partner": Partner(book_of(state, "partner")),
            "web": Web(state),
            "till": till,
            "ledger": Ledger(folder / "ledger.sqlite"),
        }
        yield House(project, server, sellers)


def _declare(folder: Path, till: str) -> None:
    """The shipped project has three kinds; three more come to it."""
    config = yaml.safe_load((folder / "topline.yml").read_text())
    config["sources"] |= {
        "web": {"kind": "push", "tables": {"sales": {"on_invalid": "keep"}}},
        "till": {"kind": "rest", "url": till, "every": 0.5, "tables": {"sales": {"path": "/sales"}}},
        "ledger": {"kind": "sql", "url": f"sqlite:///{folder}/ledger.sqlite", "every": 0.5, "tables": {"sales": {}}},
    }
    (folder / "topline.yml").write_text(yaml.safe_dump(config))
    live = folder / "models" / "live"
    declared = yaml.safe_load((live / "sources.yml").read_text())
    [branches] = [one for one in declared["sources"] if one["name"] == "branches"]
    declared["sources"] += [{**branches, "name": name} for name in MORE]
    (live / "sources.yml").write_text(yaml.safe_dump(declared))
    staged = (live / "staging" / "branches_sales.sql").read_text()
    models = [{"name": f"{name}_sales", "config": {"meta": {"publish": False, "key": ["sale_id"]}}} for name in MORE]
    (live / "staging" / "more.yml").write_text(yaml.safe_dump({"models": models}))
    for name in MORE:
        (live / "staging" / f"{name}_sales.sql").write_text(staged.replace("'branches'", f"'{name}'"))
    for union in ("sales.sql", "rejected_sales.sql"):
        text = (live / union).read_text().rstrip()
        branch = text[text.rindex("select") :]
        others = [branch.replace("partner_sales", f"{name}_sales") for name in MORE]
        (live / union).write_text("\n\nunion all\n\n".join([text, *others]) + "\n")
