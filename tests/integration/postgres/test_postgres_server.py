"""The server behind a source comes back with other settings, or a standby has taken its place."""

from pathlib import Path

import pytest

from tests.integration.postgres.conftest import Shop
from tests.integration.postgres.debian import DebianServer
from tests.integration.postgres.replica import Replica, catch_up
from tests.polling import until
from topline.errors import SourceHalted, SourceNotReady
from topline.schema import Type

pytestmark = pytest.mark.system


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


def test_a_wal_level_that_was_lowered_is_named_with_what_to_set_and_all_is_copied_again(
    debian_alone: DebianServer, tmp_path: Path
) -> None:
    """PostgreSQL starts with less than `logical` only where no slot is left: what was changed meanwhile, nobody can tell."""
    shop = stocked(debian_alone, tmp_path)
    source, replica = shop.caught_up()
    source.close()
    until(lambda: shop.value("SELECT count(*) = 0 FROM pg_replication_slots WHERE active"))
    shop.run(f"SELECT pg_drop_replication_slot('{shop.slot}')", "ALTER SYSTEM SET wal_level = replica")
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
