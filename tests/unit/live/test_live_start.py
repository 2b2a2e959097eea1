"""How a start finds its state again: from the checkpoint and what came after it, or the log; and what PostgreSQL lacks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from tests.unit.live.engines import Clock, Results, Told
from tests.unit.live.histories import item, order, upserts
from tests.unit.live.plans import ORDERS, sums
from tests.unit.models.small import project as models_project
from topline.changes import Position, Sweep, TableChanges
from topline.config import Project, load_project
from topline.errors import ConfigError, StateError, TransientError
from topline.live import start
from topline.live.checkpoint import Checkpoints
from topline.live.dataflow import Dataflow
from topline.live.holds import Holds
from topline.live.marks import Marks
from topline.live.publication import Publication
from topline.live.start import Databases, declare_tables, log_resume, rebuild, restored, started
from topline.log import Log, LogEntry
from topline.models.plan import ProjectPlan
from topline.results import Changed, Epoch, Opened, RefusedError, Replace
from topline.schema import Column, TableSchema, Type

WIDE = TableSchema("shop.orders", (*ORDERS.columns, Column("more", Type.TEXT), Column("less", Type.TEXT)), ORDERS.key)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "state", "test") as one:
        one.declare(sums().tables)
        yield one


def with_orders(schema: TableSchema) -> ProjectPlan:
    plan = sums()
    return replace(plan, tables={**plan.tables, "shop.orders": schema})


def append(log: Log, *parts: TableChanges, **more: Any) -> None:
    log.append(LogEntry(changes=parts, **more))


def unwatched(_table: str, _rows: int) -> None:
    pass


def totals(dataflow: Dataflow) -> dict[str, object]:
    return {row["city"]: row["total"] for chunk in dataflow.all_rows("money") for row in chunk.to_pylist()}


# the state


def test_the_state_is_made_of_the_log(log: Log) -> None:
    append(log, upserts("shop.orders", order(1, "10", "A"), order(2, "5", "B")), upserts("shop.items", item(1, 3)))
    append(log, upserts("shop.orders", order(1, "20", "A"), partition="two", hi=7))
    told: list[tuple[str, int]] = []
    made = rebuild(sums(), log, lambda *progress: told.append(progress))
    assert totals(made) == {"A": 20, "B": 5}
    assert sorted(told) == [("shop.items", 1), ("shop.orders", 2)]


def test_rows_keep_who_wrote_them_and_where_it_stood(log: Log) -> None:
    append(log, upserts("shop.orders", order(1, "10", "A"), order(2, "5", "B"), hi=3))
    append(log, upserts("shop.orders", order(1, "20", "A"), partition="two", hi=7))
    made = rebuild(sums(), log, unwatched)
    made.apply([Sweep("shop.orders", "two", 7, Position(9, 0)), Sweep("shop.orders", "one", 3, Position(9, 0))])
    assert totals(made) == {"A": 20, "B": 5}
    made.apply([Sweep("shop.orders", "one", 4, Position(9, 0))])
    assert totals(made) == {"A": 20}
    made.apply([Sweep("shop.orders", "two", 8, Position(9, 0))])
    assert totals(made) == {}


def test_columns_that_old_rows_lack_are_null_and_rows_without_the_key_are_left_out(log: Log) -> None:
    append(log, upserts("shop.orders", order(1, "10", "A"), (2, None, None, None, None, None, None)))
    rows = rebuild(with_orders(WIDE), log, unwatched).table("shop.orders").to_pylist()
    assert sorted((row["order_id"], row["more"]) for row in rows) == [(1, None), (2, None)]
    keyed = replace(ORDERS, key=("city",))
    assert rebuild(with_orders(keyed), log, unwatched).table("shop.orders")["order_id"].to_pylist() == [1]


def saved(log: Log, folder: Path, dataflow: Dataflow) -> None:
    Checkpoints(folder, log, dataflow, 0.0).save()


def test_a_start_reads_the_checkpoint_and_what_came_after_it(log: Log, tmp_path: Path) -> None:
    told: list[str] = []
    append(log, upserts("shop.orders", order(1, "10", "A")))
    saved(log, tmp_path, rebuild(sums(), log, unwatched))
    append(log, upserts("shop.orders", order(2, "7", "A")))
    assert totals(restored(tmp_path, sums(), log, lambda table, _: told.append(table))) == {"A": 17}
    assert told == []
    fewer = replace(sums(), tables={"shop.orders": ORDERS})
    append(log, upserts("shop.items", item(1, 3)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(start, "load_checkpoint", lambda *_: (rebuild(sums(), log, unwatched), 1))
        assert totals(restored(tmp_path, fewer, log, unwatched)) == {"A": 17}


def test_without_a_checkpoint_or_with_one_that_the_log_was_folded_past_the_log_is_read(log: Log, tmp_path: Path) -> None:
    told: list[str] = []

    def tell(table: str, _rows: int) -> None:
        told.append(table)

    append(log, upserts("shop.orders", order(1, "10", "A")))
    assert totals(restored(tmp_path, sums(), log, tell)) == {"A": 10}
    saved(log, tmp_path, rebuild(sums(), log, unwatched))
    append(log, upserts("shop.orders", order(2, "7", "A")))
    append(log, upserts("shop.orders", order(3, "1", "A")))
    log.compact(3)
    assert totals(restored(tmp_path, sums(), log, tell)) == {"A": 18}
    assert told == ["shop.orders"] or told == ["shop.orders"] * 2


def test_what_halted_a_model_after_the_checkpoint_may_have_been_corrected_since(log: Log, tmp_path: Path) -> None:
    append(log, upserts("shop.orders", order(1, "99999999999999", "A")))
    saved(log, tmp_path, rebuild(sums(), log, unwatched))
    append(log, upserts("shop.orders", order(2, "99999999999999", "A")))
    assert "money" in restored(tmp_path, sums(), log, unwatched).halted
    append(log, upserts("shop.orders", order(2, "1", "B")))
    assert restored(tmp_path, sums(), log, unwatched).halted == {}


# the tables


def declared(log: Log, schema: TableSchema) -> Holds:
    holds = Holds(with_orders(schema), {})
    declare_tables(with_orders(schema), log, holds)
    return holds


def test_a_table_that_is_new_or_has_fewer_columns_goes_on(tmp_path: Path) -> None:
    with Log.open(tmp_path / "state", "test") as log:
        assert declared(log, WIDE).tables == {}
        assert log.schemas()["shop.orders"] == WIDE
        assert declared(log, ORDERS).tables == {}
        assert log.schemas()["shop.orders"] == ORDERS


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        (WIDE, "the columns more, less"),
        (replace(WIDE, columns=WIDE.columns[:-1]), "the column more"),
        (replace(ORDERS, key=("order_id", "city")), "its key"),
    ],
)
def test_a_table_with_new_columns_or_another_key_is_held_until_read_anew(schema: TableSchema, what: str, log: Log) -> None:
    holds = declared(log, schema)
    assert holds.tables == {
        "shop.orders": f"table shop.orders: {what} changed in the models, and rows that were copied before lack it; "
        "models that read it stand still: run `topline resync shop.orders`"
    }
    assert (holds.outdated, log.holds(), log.schemas()["shop.orders"]) == ({"shop.orders"}, holds.tables, ORDERS)


# the results


class Opening:
    """The results of a start over `log`."""

    def __init__(self, log: Log, clock: Clock) -> None:
        plan = sums()
        self.plan = replace(plan, models={**plan.models, "over": replace(plan.models["over"], published=False)})
        self.publisher = Results(clock)
        self.publication = Publication(self.publisher, rebuild(self.plan, log, unwatched), self.plan.models)
        self.results = start.Results(self.plan, log, self.publisher, self.publication, take_over=True)

    def offered(self) -> Epoch:
        self.publication.offer(9, {}, {}, frozenset())
        return self.publisher.epochs[-1]


def keys(*cities: str) -> pa.Table:
    return pa.table({"city": pa.array(cities, pa.string())})


def opened(*whole: str) -> Opened:
    return Opened(0, {}, frozenset(whole), ())


def test_the_keys_that_the_log_still_owes_are_published(log: Log, clock: Clock) -> None:
    append(log, upserts("shop.orders", order(1, "10", "A"), order(2, "10", "B")), dirty={"money": keys("B")})
    one = Opening(log, clock)
    one.results.note_unpublished(opened())
    epoch = one.offered()
    money = epoch.models["money"]
    assert isinstance(money, Changed)
    assert (list(epoch.models), [row["city"] for row in money.rows.to_pylist()]) == (["money"], ["B"])


def test_what_postgresql_lacks_and_what_was_missed_is_published_whole(log: Log, clock: Clock) -> None:
    append(log, upserts("shop.orders", order(1, "10", "A")), dirty={"money": keys("A")})
    Marks(log).add_stale(["pieces", "over"])
    one = Opening(log, clock)
    one.results.note_unpublished(opened("money", "over"))
    epoch = one.offered()
    assert sorted(epoch.models) == ["money", "pieces"]
    assert all(isinstance(update, Replace) for update in epoch.models.values())


@pytest.mark.parametrize("before", [[pa.table({"town": ["A"]})], [pa.table({"town": ["A"]}), keys("A")]])
def test_a_model_with_another_key_than_it_had_is_published_whole(before: list[pa.Table], log: Log, clock: Clock) -> None:
    for dirty in before:
        append(log, upserts("shop.orders", order(1, "10", "A")), dirty={"money": dirty})
    one = Opening(log, clock)
    one.results.note_unpublished(opened())
    assert isinstance(one.offered().models["money"], Replace)


def test_the_state_is_compared_as_it_was_at_the_start(log: Log, clock: Clock) -> None:
    """An older copy of a state must not pass for the newest because it has read on meanwhile."""
    one = Opening(log, clock)
    opener = one.results.opener()
    append(log, upserts("shop.orders", order(1, "10", "A")))
    opener()
    assert one.publisher.calls == ["open at 0, taken over"]


@pytest.mark.parametrize(
    ("error", "patient"), [(TransientError("down"), False), (RefusedError("no"), True), (StateError("x"), True)]
)
def test_results_that_refuse_end_the_start(error: Exception, patient: bool, log: Log, clock: Clock) -> None:
    one = Opening(log, clock)
    one.publisher.failures.append(error)
    with pytest.raises(type(error)):
        start._open_results(one.results, patient=patient)


def test_who_is_patient_goes_on_without_results_until_they_answer(log: Log, clock: Clock) -> None:
    one = Opening(log, clock)
    one.publisher.failures.append(TransientError("down"))
    start._open_results(one.results, patient=True)
    assert (one.publication.opened, one.publication.dirty(), one.publication.last_error) == (False, False, "down")
    one.publisher.whole = {"money"}
    for _ in range(2):
        clock.now += 60
        one.publication.settle(lambda *_: None, lambda *_: None)
    assert (one.publication.opened, one.publication.dirty()) == (True, True)


def test_the_log_says_where_a_source_goes_on(log: Log) -> None:
    append(log, positions={"shop": {"one": Position(1, 2)}}, memory={"shop": {"k": b"v"}})
    resume = log_resume(log)("shop")
    assert (resume.positions, resume.memory) == ({"one": Position(1, 2)}, {"k": b"v"})


# the whole


MODELS = {"days": "select day, sum(number) as total from $t group by day", "rows": "select id, day from $t"}


def project(folder: Path) -> Project:
    root = models_project(folder, MODELS)
    (root / "topline.yml").write_text("project: small\nresults: {dsn: 'postgresql://nobody@localhost:1/none', schema: shown}\n")
    return load_project(root)


@pytest.fixture
def made(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Results, list[Any]]:
    """A project with one source, whose results are a list; and what the publisher was made with."""
    results, given = Results(clock), []

    def publisher(*arguments: Any, **named: Any) -> Results:
        given.extend([*arguments, named])
        return results

    monkeypatch.setattr(start, "Publisher", publisher)
    monkeypatch.setattr(start, "build", lambda *_, **__: [Told("s")])
    return project(tmp_path / "small"), results, given


def test_an_engine_is_put_together_and_closed_in_the_reverse_order(made: tuple[Project, Results, list[Any]]) -> None:
    one, results, given = made
    entered: list[str] = []

    @contextmanager
    def droppable() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    with started(one, droppable=droppable) as found:
        assert (found.engine.machinery.batch_rows, found.engine.machinery.publish_interval) == (100_000, 0.5)
        assert (list(found.sources), found.results_dsn) == (["s"], "postgresql://nobody@localhost:1/none")
        assert found.engine.machinery.state_dir == one.state_dir
        found.engine.run(lambda: False, lambda: None, until_idle=True)
        assert results.calls == ["open at 0"]
        found.engine.machinery.start_anew()
    assert (given[:2], given[2]["swap_fraction"]) == (["postgresql://nobody@localhost:1/none", "shown"], 0.3)
    assert results.calls == ["open at 0", "give up", "close"]
    assert entered == ["in", "out"] * 2
    with started(one, take_over=True):
        assert results.calls[-1] == "open at 0, taken over"


def test_a_start_that_fails_lets_the_state_go(made: tuple[Project, Results, list[Any]]) -> None:
    one, results, _ = made
    results.down = True
    with pytest.raises(TransientError), started(one):
        pass
    assert results.calls[-1] == "close"
    with started(one, patient=True) as found:
        assert not found.engine.machinery.publication.opened


def test_a_dsn_of_its_own_is_checked_and_has_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "a b")
    real = Databases(project(tmp_path / "small"))
    assert real("postgresql://u:${env:WORD}@host/db") == "postgresql://u:a%20b@host/db"
    with pytest.raises(ConfigError, match="not a PostgreSQL DSN"):
        real("postgresql:/nothing at all")
    real.revive()
    real.close()


class Server:
    """The embedded PostgreSQL, or a partner's service, that only notes what it is asked."""

    did: ClassVar[list[str]] = []
    wsdl = "http://partner"

    def __init__(self, *_: object) -> None:
        self.did.append("made")

    def start(self) -> None:
        self.did.append("start")

    def stop(self) -> None:
        self.did.append("stop")

    def dsn(self, database: str) -> str:
        return f"dsn of {database}"


def test_the_embedded_server_runs_from_the_first_to_the_last_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers: Callable[..., Server] = type("Servers", (Server,), {"did": []})
    partners: Callable[..., Server] = type("Partners", (Server,), {"did": []})
    monkeypatch.setattr(start, "EmbeddedPostgres", servers)
    monkeypatch.setattr(start, "PartnerService", partners)
    monkeypatch.setattr(start, "book_of", lambda _folder, name: name)
    with start.databases(project(tmp_path / "small")) as real:
        assert (real("embedded:one"), real("embedded:two"), real.embedded("dsn", "three")) == (
            "dsn of one",
            "dsn of two",
            "dsn of three",
        )
        assert (real.embedded("wsdl", "book"), real.embedded("wsdl", "book")) == ("http://partner", "http://partner")
        real.revive()
    assert servers.did == ["made", "start", "start", "stop"]  # type: ignore[attr-defined]
    assert partners.did == ["made", "start", "stop"]  # type: ignore[attr-defined]
