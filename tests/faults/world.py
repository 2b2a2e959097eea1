"""A shop in a real PostgreSQL and an inbox of files, the shipped project's engine driven turn by turn, and the truth."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
from psycopg import sql

from tests.faults.branches import Branches
from tests.polling import until
from topline.config import Project, load_project
from topline.live.audit import audit_results, audit_sources
from topline.live.commands import RESYNC, Commands
from topline.live.loop import Engine
from topline.live.start import Started, started
from topline.log import LogReader
from topline.models.plan import ModelPlan, ProjectPlan
from topline.results import Snapshot
from topline.schema import Type

SALES = Path(__file__).parents[2] / "sales"
PATIENCE = 60.0  # seconds until the engine has come to a step's end; the machine may be busy
TABLES = (
    "CREATE TABLE customers (customer_id text PRIMARY KEY, customer_name text, country text, region text, city text)",
    "CREATE TABLE salesmen (salesman_id text PRIMARY KEY, salesman_name text)",
    "CREATE TABLE orders (order_id text PRIMARY KEY, customer_id text, salesman_id text, ordered_at timestamptz, "
    "currency text, status text)",
    "CREATE TABLE order_items (order_id text, item_no bigint, category text, product text, quantity bigint, "
    "unit_price numeric, PRIMARY KEY (order_id, item_no))",
)

_MARK = (
    "INSERT INTO salesmen VALUES ('~mark', %s) ON CONFLICT (salesman_id) DO UPDATE SET salesman_name = excluded.salesman_name"
)


class World:
    """`shop` is a connection to the shop; `inbox` the branches' files with what they come to; `engine` runs while open."""

    def __init__(self, folder: Path, shop_dsn: str, results_dsn: str, settings: dict[str, object]) -> None:
        self.folder = folder
        shutil.copytree(SALES, folder)
        (folder / ".env").write_text(f"SHOP='{shop_dsn}'\nRESULTS='{results_dsn}'\n")
        self.results_dsn, self.shop_dsn = results_dsn, shop_dsn
        self._settings = settings
        self.inbox = Branches(folder / "inbox", retract=settings.get("sources.branches.tables.sales.on_remove") == "retract")
        self.shop = psycopg.connect(shop_dsn, autocommit=True, application_name="test")
        for statement in TABLES:
            self.shop.execute(statement.encode())
        self._stack: ExitStack | None = None
        self._marks = 0

    def project(self) -> Project:
        flags = {
            "sources.shop.dsn": "${env:SHOP}",
            "results.dsn": "${env:RESULTS}",
            "sources.branches.settle": 0.02,
            "sources.branches.poll": 0.02,
            "sources.shop.heartbeat": 0.2,
            "engine.batch_rows": 400,
            "engine.publish_interval_ms": 20,
            **self._settings,
        }
        return load_project(self.folder, flags)

    # the engine

    def open(self, *, take_over: bool = False) -> None:
        stack = ExitStack()
        self.started: Started = stack.enter_context(started(self.project(), take_over=take_over))
        self.engine: Engine = self.started.engine
        self.commands = Commands(self.engine, self.started.sources)
        self.engine.machinery.readers.start()
        self._stack = stack

    def close(self, *, checkpoint: bool = False) -> None:
        """Without a checkpoint as a crash between two turns would leave it."""
        if self._stack is not None:
            if checkpoint:
                self.engine.machinery.checkpoints.save()
            self._stack.close()
            self._stack = None

    def discard(self) -> None:
        self.close()
        self.shop.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
        )
        self.shop.close()

    def turn(self) -> None:
        self.engine.turn(0.005)
        while self.engine.resyncs:
            self.commands.carry_out(RESYNC, {"target": self.engine.resyncs.pop()})

    def turn_until(self, condition: Callable[[], bool], what: str) -> None:
        def turned() -> bool:
            self.turn()
            return condition()

        until(turned, timeout=PATIENCE, every=0, what=what)

    def catch_up(self) -> None:
        """Until the engine has folded and published all that shop and inbox hold now."""
        self._marks += 1
        mark = str(self._marks)
        self.shop.execute(_MARK, (mark,))
        try:
            self.turn_until(lambda: self._marked(mark), "the shop's changes are folded")
            self.read_files()
            self.turn_until(self.is_still, "all is published")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self._lacking()}") from error

    def read_files(self) -> None:
        self.turn_until(lambda: self.sales() == self.inbox.truth(), "the files are read")

    def is_still(self) -> bool:
        return self.engine.caught_up() and not self.engine.holds.copying and not self.engine.holds.held_models()

    def _marked(self, mark: str) -> bool:
        rows = self.engine.machinery.dataflow.table("shop.salesmen").to_pylist()
        return {"salesman_id": "~mark", "salesman_name": mark} in rows

    def _lacking(self) -> str:
        found, truth = self.sales(), self.inbox.truth()
        wrong = {
            key: (found.get(key), truth.get(key)) for key in found.keys() | truth.keys() if found.get(key) != truth.get(key)
        }
        machinery = self.engine.machinery
        return (
            f"files: {self.inbox.log}; (found, wanted): {wrong}; sources: {machinery.readers.states}; "
            f"publishing: {machinery.publication.last_error}; held: {self.engine.holds.models} {self.engine.holds.tables}"
        )

    def sales(self) -> dict[str, tuple[str | None, ...]]:
        rows = self.engine.machinery.dataflow.table("branches.sales").to_pylist()
        return {row["sale_id"]: tuple(row.values()) for row in rows}

    def resync(self, target: str) -> None:
        if target == "branches":
            self.read_files()  # which of two versions a new reading meets is left to chance otherwise
            self.inbox.read_again()
        self.commands.carry_out(RESYNC, {"target": target})

    def lose_connections(self, name: str) -> None:
        """`name`: of the application, a LIKE pattern; never ours."""
        with psycopg.connect(self.results_dsn, autocommit=True) as connection:
            others = "application_name LIKE %s AND application_name <> 'test' AND pid <> pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}".encode(), (name,))

    # the truth

    def require_exact(self) -> None:
        """Results against the log, the log against the sources, the results against PostgreSQL's own computation."""
        project, plan = self.started.project, self.started.plan
        self.require_audited()
        with LogReader.open(project.state_dir, project.config.project) as log:
            sources = [self.started.sources["shop"]]
            different = [one for one in audit_sources(log, plan, sources, log.epoch) if not one.equal]
            assert not different
            sales = pa.concat_tables([plan.tables["branches.sales"].arrow.empty_table(), *_plain(log, "branches.sales", plan)])
        assert {row["sale_id"]: tuple(row.values()) for row in sales.to_pylist()} == self.inbox.truth()
        self.require_as_postgres()

    def require_audited(self) -> None:
        """At any epoch that is published, also amid a step."""
        project, plan = self.started.project, self.started.plan
        published = {name: model.schema for name, model in plan.models.items() if model.published}
        reader = LogReader.open(project.state_dir, project.config.project)
        with reader as log, log.pin(), Snapshot(self.results_dsn, "topline", published) as snapshot:
            epochs = {name: epoch for name, epoch in snapshot.epochs.items() if epoch}
            different = [one for one in audit_results(log, plan, epochs, snapshot.rows) if not one.equal]
        assert not different

    def require_as_postgres(self) -> None:
        plan = self.started.plan
        with psycopg.connect(self.shop_dsn) as shop, psycopg.connect(self.results_dsn) as results:
            self._tables_as_declared(shop, plan)
            for name, model in plan.models.items():
                shop.execute(f'CREATE TEMP TABLE "{name}" AS {model.sql_postgres}'.encode())
            for name, model in plan.models.items():
                if model.published:
                    expected, found = _rows(shop, "pg_temp", model), _rows(results, "topline", model)
                    assert expected == found, f"{name}: {sorted(expected ^ found)[:10]}"

    def _tables_as_declared(self, shop: psycopg.Connection[tuple[object, ...]], plan: ProjectPlan) -> None:
        for name, table in plan.tables.items():
            source, _, short = name.partition(".")
            columns = ", ".join(f'"{c.name}"::{_cast(c.type)} AS "{c.name}"' for c in table.columns)
            if source == "shop":
                shop.execute(f'CREATE TEMP VIEW "{name}" AS SELECT {columns} FROM public.{short}'.encode())
                continue
            shop.execute(f'CREATE TEMP TABLE "{name}" ({", ".join(f"{c.name} text" for c in table.columns)})'.encode())
            if name != "branches.sales":
                continue
            marks = ", ".join(["%s"] * len(table.columns))
            with shop.cursor() as cursor:
                cursor.executemany(f'INSERT INTO "{name}" VALUES ({marks})'.encode(), list(self.inbox.truth().values()))


def _cast(kind: Type) -> str:
    return kind.value


def _plain(log: LogReader, table: str, plan: ProjectPlan) -> Iterator[pa.Table]:
    for chunk in log.snapshot(table):
        yield chunk.select(plan.tables[table].names)


def _rows(connection: psycopg.Connection[tuple[object, ...]], schema: str, model: ModelPlan) -> set[tuple[object, ...]]:
    columns = sql.SQL(", ").join(
        sql.SQL("{}::" + column.type.value + "::text").format(sql.Identifier(column.name)) for column in model.schema.columns
    )
    query = sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(schema, model.name))
    return set(connection.execute(query).fetchall())


@contextmanager
def world(folder: Path, shop_dsn: str, results_dsn: str, **settings: object) -> Iterator[World]:
    made = World(folder, shop_dsn, results_dsn, {name.replace("__", "."): value for name, value in settings.items()})
    try:
        yield made
    finally:
        made.discard()
