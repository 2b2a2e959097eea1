"""The server or its slot is not what it was: dropped, moved, lost, another, with other settings, a standby in its place."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.conftest import Postgres
from tests.integration.postgres.conftest import Shop, two_tables
from tests.integration.postgres.debian import DebianServer
from tests.integration.postgres.replica import Replica, catch_up, ids
from tests.polling import until
from topline.errors import SourceHalted, SourceNotReady, TransientError
from topline.schema import Type
from topline.sources.base import Resume
from topline.sources.postgres import resync_memory


@pytest.fixture
def shop(postgres: Postgres, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(postgres.dsn("shop"), tmp_path)
    yield made
    made.drop()


def drop_slot(shop: Shop) -> None:
    until(lambda: shop.value(f"SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{shop.slot}'"))
    shop.run(f"SELECT pg_drop_replication_slot('{shop.slot}')")


def test_a_dropped_slot_halts_and_a_full_resync_recovers(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    drop_slot(orders)
    orders.run("DELETE FROM orders WHERE id = 1")
    with pytest.raises(SourceHalted, match=r"slot shop_\d+ is gone.*topline resync shop"):
        orders.source().open(replica.resume)
    replica.memory.update({key: value for key, value in source.resync(None, replica.resume).items() if value is not None})
    catch_up(orders.source(), replica)
    assert ids(replica) == [2, 3]


def test_a_slot_dropped_while_running_halts(orders: Shop) -> None:
    source, _ = orders.caught_up(heartbeat=0.1)
    orders.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    drop_slot(orders)
    with pytest.raises((SourceHalted, TransientError)):
        until(lambda: source.read(10, 0.05) and False)


@pytest.mark.system
def test_a_slot_that_the_server_gave_up_halts_and_a_full_resync_replaces_it(debian: DebianServer, tmp_path: Path) -> None:
    lost = Shop(debian.dsn("lost"), tmp_path)
    two_tables(lost)
    source, replica = lost.caught_up()
    source.close()
    lost.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()", "DELETE FROM items WHERE id > 2")

    def given_up() -> bool:
        lost.run("SELECT pg_logical_emit_message(false, 'test', 'x')", "SELECT pg_switch_wal()", "CHECKPOINT")
        return bool(lost.value(f"SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '{lost.slot}'"))

    until(given_up, timeout=30)
    with pytest.raises(SourceHalted, match=r"is lost \(max_slot_wal_keep_size\?\).*topline resync shop"):
        lost.source().open(replica.resume)
    lost.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    replica.memory.update({key: value for key, value in source.resync(None, replica.resume).items() if value is not None})
    catch_up(lost.source(), replica)
    assert ids(replica, "shop.items") == [1, 2]
    lost.drop()


def test_a_dropped_table_halts_and_is_named_until_it_is_back(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    orders.run("ALTER TABLE orders RENAME TO away")
    source.close()
    with pytest.raises(SourceHalted, match=r'shop.orders \("public"."orders"\): the table does not exist'):
        orders.source().open(replica.resume)
    orders.run("CREATE TABLE orders AS SELECT * FROM away WHERE id = 1; ALTER TABLE orders ADD PRIMARY KEY (id)")
    catch_up(orders.source(), replica)
    assert ids(replica) == [1]


def test_a_slot_moved_by_another_reader_halts(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    until(lambda: orders.value(f"SELECT NOT active FROM pg_replication_slots WHERE slot_name = '{orders.slot}'"))
    orders.run(f"SELECT pg_replication_slot_advance('{orders.slot}', pg_current_wal_lsn())")
    with pytest.raises(SourceHalted, match=r"moved to .* by somebody else"):
        orders.source().open(replica.resume)


def test_a_slot_of_another_plugin_is_left_alone(orders: Shop) -> None:
    orders.run(f"SELECT pg_create_physical_replication_slot('{orders.slot}')")
    with pytest.raises(SourceHalted, match="is another's"):
        orders.source().open(Resume())


def test_a_second_reader_of_the_slot_waits(orders: Shop) -> None:
    orders.caught_up()
    with pytest.raises(TransientError, match="in use by the server process"):
        orders.source().open(Resume())


def test_another_server_halts_and_a_full_resync_takes_it(orders: Shop) -> None:
    source, replica = orders.caught_up()
    source.close()
    known = json.loads(replica.memory["server"])
    replica.memory["server"] = json.dumps({**known, "system": "42"}).encode()
    replica.rows["shop.orders"][(99,)] = ((99, "from the other server", "1.00", None), "", 5)
    until(lambda: orders.value("SELECT count(*) = 0 FROM pg_replication_slots WHERE active"))
    with pytest.raises(SourceHalted, match=r"system identifier .* known is 42"):
        orders.source().open(replica.resume)
    replica.memory.update({key: value for key, value in source.resync(None, replica.resume).items() if value is not None})
    again = orders.source()
    catch_up(again, replica)
    assert ids(replica) == [1, 2, 3]
    orders.run("TRUNCATE orders; INSERT INTO orders VALUES (7, 'Bari', 1, NULL)")
    orders.follow(again, replica)
    assert ids(replica) == [7]
    assert json.loads(replica.memory["server"])["system"] == known["system"]


def test_a_lost_connection_is_transient_and_the_next_open_goes_on(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    orders.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    with pytest.raises(TransientError):
        until(lambda: source.read(10, 0.05) and False)
    catch_up(source, replica)
    assert ids(replica) == [1, 2, 3, 4]


def test_a_server_that_does_not_answer_is_transient(orders: Shop) -> None:
    nobody = orders.source(dsn="host=127.0.0.1 port=1 dbname=none connect_timeout=2")
    with pytest.raises(TransientError, match="connecting to shop"):
        nobody.open(Resume())
    assert "cannot connect" in nobody.check()[0].problem


def test_an_idle_slot_goes_on_with_the_log_of_others(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    confirmed = f"SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'"
    before = orders.value(confirmed)
    orders.run("CREATE TABLE noise AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    target = orders.value("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")

    def went_on() -> bool:
        if (batch := source.read(1000, 0.05)) is not None:
            assert not batch.parts
            replica.apply(batch)
            source.acknowledge(replica.positions)
        return bool(orders.value(confirmed) >= target)

    until(went_on)
    assert target - before > 2_000_000


def test_what_is_not_acknowledged_is_not_confirmed(orders: Shop) -> None:
    source, replica = orders.caught_up(heartbeat=0.1)
    confirmed = f"SELECT confirmed_flush_lsn - '0/0'::pg_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'"
    before = until(lambda: orders.value(confirmed))
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    orders.follow(source, replica, confirm=False)
    for _ in range(10):
        source.read(10, 0.02)
    assert orders.value(confirmed) == before
    source.acknowledge(replica.positions)
    assert until(lambda: orders.value(confirmed) > before)


def test_a_walsender_killed_by_the_server_names_what_happened(orders: Shop) -> None:
    source, _ = orders.caught_up()
    orders.run(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    with pytest.raises(TransientError, match=r"terminating connection|server ended|closed"):
        until(lambda: source.read(10, 0.05) and False)


def test_close_may_come_at_any_time_and_twice(orders: Shop) -> None:
    source = orders.source()
    source.close()
    source.open(Resume())
    source.close()
    source.close()
    with pytest.raises(TransientError, match="not open"):
        source.read(1, 0)


def test_a_transaction_that_stays_open_delays_the_copy_with_a_clear_message(orders: Shop) -> None:
    with psycopg.connect(orders.dsn) as other:
        other.execute("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
        hurried = orders.source(dsn=make_conninfo(orders.dsn, options="-c lock_timeout=100ms"))
        with pytest.raises(TransientError, match=r"waits for transactions that were open.*pg_stat_activity"):
            hurried.open(Resume())
    replica = orders.replica()
    catch_up(orders.source(), replica)
    assert ids(replica) == [1, 2, 3, 4]


def test_a_copy_that_was_read_but_never_committed_does_not_move_the_slot(orders: Shop) -> None:
    """What a crash throws away must still be in the slot: the stream behind the copy begins later than what is committed."""
    source, replica = orders.caught_up()
    source.close()
    orders.run("INSERT INTO orders VALUES (4, 'Bari', 1, NULL)")
    stood = orders.value(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    again = orders.source()
    again.open(Resume(replica.positions, {**replica.memory, **{k: v for k, v in resync_memory("orders").items() if v}}))
    until(lambda: again.read(1000, 0.05) is None and again.reached_end(), timeout=20)
    again.close()
    moved = orders.value(f"SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{orders.slot}'")
    assert moved == stood


def stocked(server: DebianServer, folder: Path) -> Shop:
    shop = Shop(server.dsn("shop"), folder)
    shop.run("CREATE TABLE items (id int PRIMARY KEY)", "INSERT INTO items SELECT generate_series(1, 3)")
    shop.declare("items", {"id": Type.BIGINT}, ("id",))
    return shop


def again(shop: Shop) -> Shop:
    """The same shop after its server was away."""
    back = Shop(shop.dsn, shop.folder, shop.schemas, slot=shop.slot)
    back.run("DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (4)")
    return back


def copied_anew(shop: Shop, replica: Replica) -> list[tuple[object, ...]]:
    """The table after `topline resync shop`."""
    wanted = shop.source().resync(None, replica.resume)
    replica.memory.update({key: value for key, value in wanted.items() if value is not None})
    catch_up(shop.source(), replica)
    return replica.table("shop.items")


@pytest.mark.system
def test_a_wal_level_that_was_lowered_is_named_with_what_to_set_and_all_is_copied_again(
    debian_alone: DebianServer, tmp_path: Path
) -> None:
    """PostgreSQL starts with less than `logical` only where no slot is left: what was changed meanwhile, nobody can tell."""
    shop = stocked(debian_alone, tmp_path)
    source, replica = shop.caught_up()
    source.close()
    drop_slot(shop)
    shop.run("ALTER SYSTEM SET wal_level = replica")
    debian_alone.restart()
    shop = again(shop)
    with pytest.raises(SourceNotReady, match="wal_level is replica: ALTER SYSTEM SET wal_level = logical; then restart"):
        shop.source().open(replica.resume)
    shop.run("ALTER SYSTEM SET wal_level = logical")
    debian_alone.restart()
    shop = Shop(shop.dsn, shop.folder, shop.schemas, slot=shop.slot)
    with pytest.raises(SourceHalted, match=f"the replication slot {shop.slot} is gone.*topline resync shop"):
        shop.source().open(replica.resume)
    assert copied_anew(shop, replica) == [(2,), (3,), (4,)]


@pytest.mark.system
def test_a_standby_that_took_over_is_another_server_until_all_is_copied_again(
    debian_alone: DebianServer, tmp_path: Path
) -> None:
    """It has the same system identifier; how far it had come when it was promoted, its timeline alone tells."""
    shop = stocked(debian_alone, tmp_path)
    source, replica = shop.caught_up()
    source.close()
    debian_alone.fail_over()
    shop = again(shop)
    with pytest.raises(SourceHalted, match=r"is another: it has system identifier \d+, timeline 2; known is \d+, timeline 1"):
        shop.source().open(replica.resume)
    assert copied_anew(shop, replica) == [(2,), (3,), (4,)]
