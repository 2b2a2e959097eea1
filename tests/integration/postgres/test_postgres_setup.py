"""Before running: what is missing is said at once, with the statement that mends it; and that statement does mend it."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.integration.postgres.conftest import CREATE_ORDERS, ORDERS, Shop, schema
from tests.integration.postgres.debian import DebianServer
from tests.integration.postgres.replica import catch_up
from topline.errors import ConfigError, SourceHalted, TransientError
from topline.schema import Type
from topline.sources.base import Fault, Resume
from topline.sources.postgres import Settings, create


def statements(found: list[Fault]) -> list[str]:
    """The SQL of the remedies, without what is said beside it."""
    return [fault.remedy.removeprefix("as the owner of the tables: ").partition(";")[0] for fault in found]


@pytest.fixture
def reader(orders: Shop) -> Iterator[str]:
    """A DSN of a role without any privilege. Roles are the server's: the name carries the shop's."""
    role = f"reader_{orders.slot}"
    orders.run(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'", "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    yield make_conninfo(orders.dsn, user=role, password="secret")
    for made in orders.sources:
        made.close()
    orders.run(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_fit_source_has_no_faults(orders: Shop) -> None:
    assert orders.source().check() == []


def test_every_missing_privilege_is_named_at_once_and_the_remedies_suffice(orders: Shop, reader: str) -> None:
    source = orders.source(dsn=reader)
    found = source.check()
    assert len(found) == 4
    with pytest.raises(SourceHalted, match="REPLICATION"):
        source.open(Resume())
    orders.run(*statements(found))
    assert source.check() == []
    replica = orders.replica()
    catch_up(source, replica)
    orders.run("DELETE FROM orders WHERE id > 1")
    orders.follow(source, replica)
    assert len(replica.table("shop.orders")) == 1


def test_a_publication_made_by_its_owner_is_used_as_it_is(orders: Shop, reader: str) -> None:
    orders.run("CREATE PUBLICATION made FOR TABLE orders")
    source = orders.source(dsn=reader, publication="made")
    assert not any("publication" in fault.problem for fault in source.check())


def test_a_named_publication_keeps_its_other_tables(orders: Shop) -> None:
    orders.run("CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION made FOR TABLE other")
    orders.caught_up(publication="made")
    assert orders.value("SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables") == "orders,other"


@pytest.mark.parametrize(
    ("definition", "problem", "remedy"),
    [
        ("(id bigint, city text)", "has no key", 'ALTER TABLE "public"."t" ADD PRIMARY KEY ("id")'),
        ("(id bigint NOT NULL UNIQUE, city text)", "not its replica identity", "REPLICA IDENTITY USING INDEX"),
        ("(id bigint, city text PRIMARY KEY)", "its key is (city)", "declare the key [city]"),
        ("(id bigint PRIMARY KEY)", "no column city", "its columns are: id"),
        ("(id numeric PRIMARY KEY, city text)", "type numeric, which BIGINT does not hold", "declare it as TEXT"),
        ("(id bigint PRIMARY KEY, city int)", "", ""),
    ],
)
def test_a_table_that_cannot_be_captured_is_refused_with_the_remedy(
    shop: Shop, definition: str, problem: str, remedy: str
) -> None:
    shop.run(f"CREATE TABLE t {definition}")
    shop.declare("t", {"id": Type.BIGINT, "city": Type.TEXT}, ("id",))
    found = shop.source().check()
    if not problem:
        assert found == []
        return
    assert any(problem in fault.problem and remedy in fault.remedy for fault in found), found
    with pytest.raises(SourceHalted):
        shop.source().open(Resume())


@pytest.mark.parametrize("identity", ["NOTHING", "USING INDEX other"])
def test_an_identity_that_hides_the_key_is_refused(shop: Shop, identity: str) -> None:
    shop.run("CREATE TABLE t (id bigint PRIMARY KEY, city text NOT NULL)", "CREATE UNIQUE INDEX other ON t (city)")
    shop.run(f"ALTER TABLE t REPLICA IDENTITY {identity}")
    shop.declare("t", {"id": Type.BIGINT, "city": Type.TEXT}, ("id",))
    [fault] = shop.source().check()
    shop.run(*statements([fault]))
    assert shop.source().check() == []


def test_what_is_no_logged_table_is_refused(shop: Shop) -> None:
    shop.run("CREATE VIEW v AS SELECT 1 AS id", "CREATE UNLOGGED TABLE u (id int PRIMARY KEY)")
    for name in ("v", "u", "missing"):
        shop.declare(name, {"id": Type.BIGINT}, ("id",))
    problems = [fault.problem for fault in shop.source().check()]
    assert [("exist" in problem, "ordinary" in problem) for problem in problems] == [
        (True, False),
        (False, True),
        (False, True),
    ]


def test_a_publication_that_leaves_something_out_is_refused(orders: Shop) -> None:
    orders.run("CREATE PUBLICATION partly FOR TABLE orders WHERE (id > 1) WITH (publish = 'insert')")
    problems = [fault.problem for fault in orders.source(publication="partly").check()]
    assert problems == [
        "the publication partly leaves some operations out",
        "the publication partly filters rows or columns of public.orders",
    ]


def test_generated_columns_come_where_the_server_sends_them(shop: Shop) -> None:
    shop.run("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)", "INSERT INTO g VALUES (1)")
    shop.declare("g", {"id": Type.BIGINT, "twice": Type.BIGINT}, ("id",))
    found = shop.source().check()
    if shop.connection.info.server_version < 180000:
        assert ["generated" in fault.problem for fault in found] == [True]
        return
    source, replica = shop.caught_up()
    shop.run("INSERT INTO g VALUES (2)")
    shop.follow(source, replica)
    assert replica.table("shop.g") == [(1, 2), (2, 4)]


def test_tables_are_found_by_mapping_by_list_and_by_default(shop: Shop) -> None:
    shop.run("CREATE SCHEMA s", "CREATE TABLE s.a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    for name in ("a", "b"):
        shop.declare(name, {"id": Type.BIGINT}, ("id",))
    assert shop.source(tables={"a": "s.a"}).check() == shop.source(tables=["s.a"]).check() == []
    with pytest.raises(ConfigError, match=r"c not declared.*declared are: a, b"):
        shop.source(tables={"c": "s.c"})


def test_a_zone_that_is_none_is_refused(orders: Shop) -> None:
    with pytest.raises(ConfigError, match="'Mars' is not an IANA time zone"):
        orders.source(zone="Mars")


def test_what_is_no_dsn_is_said_so(orders: Shop) -> None:
    assert "not a PostgreSQL DSN" in orders.source(dsn="mysql://x").check()[0].problem


@pytest.mark.system
def test_tls_is_used_and_the_certificate_is_verified(debian: DebianServer, tmp_path: object) -> None:
    dsn = debian.dsn("tls")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(CREATE_ORDERS.encode())
        shop = Shop(dsn, debian.folder, {"orders": schema("shop.orders", ORDERS, ("id",))})
        verified = make_conninfo(dsn, sslmode="verify-full", sslrootcert=str(debian.certificate))
        source, replica = shop.source(dsn=verified), shop.replica()
        catch_up(source, replica)
        encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE backend_type = 'walsender'"
        assert shop.value(encrypted) is True
        shop.run("INSERT INTO orders VALUES (1, 'Rome', 1, NULL)")
        shop.follow(source, replica)
        assert len(replica.table("shop.orders")) == 1
        shop.drop()


@pytest.mark.system
def test_a_server_with_another_certificate_is_not_trusted(debian: DebianServer) -> None:
    other = debian.folder / "other.crt"
    debian._run(
        "openssl", "req", "-new", "-x509", "-nodes", "-subj", "/CN=x", "-keyout", debian.folder / "other.key", "-out", other
    )
    dsn = make_conninfo(debian.dsn("tls"), sslmode="verify-full", sslrootcert=str(other))
    context_shop = Shop(debian.dsn("tls"), debian.folder, {"orders": schema("shop.orders", ORDERS, ("id",))})
    with pytest.raises(TransientError, match="certificate verify failed"):
        context_shop.source(dsn=dsn).open(Resume())
    context_shop.drop()


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="slots"):
        Settings(dsn="x", slots="y")  # type: ignore[call-arg]
    assert create is not None
