"""What is rare and must be exact all the same: each once, on purpose."""

import secrets
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Postgres
from tests.faults.world import World, world
from tests.polling import until
from topline.changes import DeadLetter, Position, SourceBatch
from topline.errors import FencedError, StateError, UsageError
from topline.live.loop import Engine
from topline.log import LetterState
from topline.sources.reader import Status

HUGE = "99999999999999.9999"


@pytest.fixture
def made(tmp_path: Path, postgres: Postgres) -> Iterator[World]:
    with world(tmp_path / "sales", postgres.dsn("shop"), postgres.dsn("results")) as one:
        yield one


def place(made: World, order: str, price: str = "10.00", quantity: int = 1) -> None:
    with made.shop.transaction():
        made.shop.execute("INSERT INTO customers VALUES ('c', 'n', 'Italy', 'Lazio', 'Roma') ON CONFLICT DO NOTHING")
        made.shop.execute("INSERT INTO salesmen VALUES ('s', 'Ada') ON CONFLICT DO NOTHING")
        made.shop.execute("INSERT INTO orders VALUES (%s, 'c', 's', '2026-03-29 12:00+00', 'EUR', 'placed')", (order,))
        made.shop.execute("INSERT INTO order_items VALUES (%s, 1, 'a', 'b', %s, %s)", (order, quantity, price))


def totals(made: World) -> list[Decimal]:
    with psycopg.connect(made.results_dsn) as connection:
        rows = connection.execute("SELECT total_sales FROM topline.top_sales_by_city ORDER BY 1").fetchall()
    return [row[0] for row in rows]


def prices(made: World) -> list[str]:
    return list(made.engine.machinery.dataflow.table("shop.order_items")["unit_price"].to_pylist())


def halted(made: World) -> bool:
    return bool(made.engine.holds.models)


def test_a_sum_that_overflowed_runs_again_after_its_correction_and_a_restart(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    made.engine.machinery.checkpoints.save()
    place(made, "huge", HUGE)
    place(made, "huger", HUGE)
    made.turn_until(lambda: halted(made), "the model halts")
    place(made, "meanwhile", "5.00")
    made.turn_until(lambda: made.engine.caught_up() and "5.00" in prices(made), "the other models are published")
    made.require_audited()
    made.shop.execute("UPDATE order_items SET unit_price = 1 WHERE unit_price > 99")
    made.turn_until(lambda: "1" in prices(made), "the tables go on")
    assert max(totals(made)) < 10**14
    made.close(checkpoint=True)
    made.open()
    made.catch_up()
    made.require_exact()
    assert totals(made) == [Decimal("17.0000")]


def test_a_row_that_no_table_takes_halts_its_source_and_no_other(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    place(made, "poison", quantity=-(2**63))
    made.inbox.write("a.csv", [("b1", "2026-03-29", "Italy", "Lazio", "Roma", "s", "Ada", "1.00", "EUR")])
    made.turn_until(lambda: made.engine.machinery.readers["shop"].state.status is Status.HALTED, "the shop halts")
    assert "stands for NULL" in made.engine.machinery.readers["shop"].state.error
    made.turn_until(lambda: totals(made) == [Decimal("11.0000")], "the branches go on")
    made.shop.execute("UPDATE order_items SET quantity = 2 WHERE order_id = 'poison'")
    made.resync("shop.order_items")
    made.catch_up()
    made.require_exact()


def test_rows_that_an_index_cannot_hold_halt_their_models_until_corrected(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    long_name = secrets.token_hex(6000)
    made.shop.execute("UPDATE customers SET city = %s", (long_name,))
    made.turn_until(lambda: "top_sales_by_city" in made.engine.holds.models, "models over the long key halt")
    assert "cannot hold its rows" in made.engine.holds.models["top_sales_by_city"]
    assert "rejected_sales" not in made.engine.holds.models
    made.shop.execute("UPDATE customers SET city = 'Lucca'")
    made.turn_until(
        lambda: made.engine.machinery.dataflow.table("shop.customers")["city"].to_pylist() == ["Lucca"], "corrected"
    )
    made.close()
    made.open()
    made.catch_up()
    made.require_exact()


def test_nothing_of_a_copy_is_published_even_after_a_crash_amid_it(made: World) -> None:
    for number in range(20):
        place(made, f"o{number}")
    made.open()
    made.turn_until(lambda: bool(made.engine.holds.copying), "the copy begins")
    made.close()
    made.open()
    assert made.engine.holds.copying == {"shop"}
    assert totals(made) == []
    made.catch_up()
    made.require_exact()
    made.close()
    made.open()
    assert made.engine.holds.copying == set()


def test_a_row_deleted_between_two_tries_of_the_first_copy_is_gone(made: World) -> None:
    for number in range(20):
        place(made, f"o{number}")
    made.open()
    reader = made.engine.machinery.readers
    until(lambda: reader.queued() >= 4)
    made.lose_connections("%")
    until(lambda: reader["shop"].state.status is Status.RETRYING)
    made.shop.execute("DELETE FROM orders WHERE order_id = 'o7'")
    until(lambda: not reader["shop"].reached_end)
    made.catch_up()
    made.require_exact()


def next_with_rows(engine: Engine) -> SourceBatch | None:
    """A heartbeat has none; whoever takes a batch has to acknowledge it, or the source is not opened again."""
    batch = engine.machinery.readers.get(0.1)
    if batch is not None and not len(batch):
        engine.machinery.readers.acknowledge(batch.source, {})
        return None
    return batch


def test_a_transaction_cut_off_amid_its_parts_is_folded_once_and_whole(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    made.shop.execute(
        "INSERT INTO orders SELECT n, 'c', 's', '2026-03-29 12:00+00', 'EUR', 'placed' FROM generate_series(1, 3000) n"
    )
    engine = made.engine
    batch = until(lambda: next_with_rows(engine))
    assert not batch.complete
    assert engine._admission.admit(batch) is None
    engine.machinery.readers.acknowledge("shop", {})
    made.lose_connections("%")
    made.catch_up()
    made.require_exact()


def test_a_key_declared_anew_holds_its_table_until_it_is_read_again(made: World) -> None:
    rest = ("2026-03-29", "Italy", "Lazio", "Roma")
    made.inbox.write("a.csv", [("b1", *rest, "s", "Ada", "1.00", "EUR"), ("b2", *rest, "", "", "2.00", "EUR")])
    made.open()
    made.catch_up()
    made.close()
    sources = made.folder / "models" / "live" / "sources.yml"
    sources.write_text(sources.read_text().replace("key: [sale_id]", "key: [sale_id, salesman_id]"))
    made.open()
    assert "topline resync branches.sales" in made.engine.holds.tables["branches.sales"]
    made.resync("branches.sales")
    made.turn_until(lambda: made.engine.machinery.log.letters.count() == 1, "the row without the new key is a dead letter")
    for _ in range(2):
        made.turn_until(made.is_still, "all is published")
        made.require_audited()
        assert list(made.sales()) == ["b1"]
        made.close()
        made.open()


def test_a_restored_backup_of_the_results_is_noticed_and_published_anew(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    with psycopg.connect(made.results_dsn, autocommit=True) as connection:
        connection.execute("UPDATE topline._topline_writer SET epoch = 1")
        connection.execute("UPDATE topline._topline_models SET epoch = 1")
        connection.execute("DELETE FROM topline.top_sales_by_city")
    place(made, "after")
    with pytest.raises(StateError, match="a backup was restored"):
        made.turn_until(lambda: False, "never")
    made.close()
    made.open()
    made.catch_up()
    made.require_exact()


def test_an_older_copy_of_the_state_may_not_write(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    made.close()
    state = made.project().state_dir
    shutil.copytree(state, state.with_name("copy"))
    made.open()
    place(made, "after")
    made.catch_up()
    made.close()
    shutil.rmtree(state)
    state.with_name("copy").rename(state)
    with pytest.raises(FencedError, match="an older copy"):
        made.open()


def test_an_engine_that_was_taken_over_publishes_no_more(made: World) -> None:
    place(made, "before")
    made.open()
    made.catch_up()
    with psycopg.connect(made.results_dsn, autocommit=True) as connection:
        connection.execute("UPDATE topline._topline_writer SET token = 'another', state_id = 'another'")
    place(made, "after")
    with pytest.raises(FencedError, match="taken over"):
        made.turn_until(lambda: False, "never")
    made.close()
    with pytest.raises(FencedError, match="--take-over"):
        made.open()
    made.open(take_over=True)
    made.catch_up()
    made.require_exact()


def test_a_letter_of_many_rows_brings_back_only_what_was_not_changed_later(made: World) -> None:
    made.open()
    row = ("2026-03-29", "Italy", "Lazio", "Roma", "s", "Ada", "1.00", "EUR")
    header = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency\n"
    raw = header + "".join(",".join((f"b{n}", *row)) + "\n" for n in range(3))
    letter_number = keep_letter(made, raw.encode())
    made.inbox.write("later.csv", [("b1", *row[:6], "9.00", "EUR")])
    made.catch_up()
    assert "2 of 3" not in made.commands.carry_out("replay", {"letters": [letter_number]})
    found = {key: values[7] for key, values in made.sales().items()}
    assert found == {"b0": "1.00", "b1": "9.00", "b2": "1.00"}
    assert made.engine.machinery.log.letters.get(letter_number).state is LetterState.REPLAYED
    assert "already" in made.commands.carry_out("replay", {"letters": [letter_number]})
    made.turn_until(made.is_still, "all is published")
    made.require_audited()


def keep_letter(made: World, raw: bytes) -> int:
    letter = DeadLetter("branches.sales", "sales:inbox/old.csv", Position(1, 1), raw, "broken", "inbox/old.csv:1")
    made.engine.fold([SourceBatch("branches", dead_letters=(letter,), positions={letter.partition: Position(1, 1)})])
    return made.engine.machinery.log.letters.list()[0].id


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("dance", {}),
        ("resync", {}),
        ("resync", {"target": "nowhere"}),
        ("resync", {"target": "shop.nothing"}),
        ("resync", {"target": "branches.nothing"}),
        ("replay", {"letters": "1"}),
        ("replay", {"letters": ["1"]}),
        ("replay", {"letters": [77]}),
    ],
)
def test_a_command_that_is_none_is_refused_and_harms_nothing(made: World, kind: str, arguments: dict[str, object]) -> None:
    place(made, "before")
    made.open()
    with pytest.raises(UsageError):
        made.commands.carry_out(kind, arguments)
    made.catch_up()
