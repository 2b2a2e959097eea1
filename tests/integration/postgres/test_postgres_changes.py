"""DDL, TOAST and replica identities: what the stream leaves out, and what it says only by the way."""

from tests.integration.postgres.conftest import ORDERS, Shop
from tests.integration.postgres.replica import catch_up
from topline.changes import SchemaChange, TableChanges
from topline.schema import Type

LARGE = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 500) n"  # 16,000 characters that do not compress


def documents(shop: Shop) -> str:
    shop.run("CREATE TABLE docs (id int PRIMARY KEY, title text, body text)", f"INSERT INTO docs SELECT 1, 'one', ({LARGE})")
    shop.declare("docs", {"id": Type.BIGINT, "title": Type.TEXT, "body": Type.TEXT}, ("id",))
    return str(shop.value("SELECT body FROM docs"))


def schema_changes(batches: list[object]) -> list[SchemaChange]:
    """All but a first one that says the table is as declared."""
    found = [part for batch in batches for part in getattr(batch, "parts", ()) if isinstance(part, SchemaChange)]
    declared = [(column.name, column.type) for column in found[0].schema.columns] == list(ORDERS.items()) if found else False
    return found[1:] if declared else found


def test_an_unchanged_large_value_is_kept_from_the_replica(shop: Shop) -> None:
    body = documents(shop)
    source, replica = shop.caught_up()
    replica.batches.clear()
    shop.run("UPDATE docs SET title = 'two'")
    shop.follow(source, replica)
    [part] = [part for batch in replica.batches for part in batch.parts if isinstance(part, TableChanges)]
    assert part.unchanged is not None
    assert part.unchanged.tolist() == [0b100]
    assert replica.table("shop.docs") == [(1, "two", body)]


def test_an_unchanged_large_value_under_a_new_key_is_asked_for(shop: Shop) -> None:
    body = documents(shop)
    source, replica = shop.caught_up()
    shop.run("UPDATE docs SET id = 2", "UPDATE docs SET id = 3, title = 'three'")
    shop.follow(source, replica)
    assert replica.table("shop.docs") == [(3, "three", body)]


def test_an_unchanged_large_value_is_taken_from_the_full_old_row(shop: Shop) -> None:
    body = documents(shop)
    shop.run("ALTER TABLE docs REPLICA IDENTITY FULL")
    source, replica = shop.caught_up()
    replica.batches.clear()
    shop.run("UPDATE docs SET id = 2", "UPDATE docs SET title = 'two'")
    shop.follow(source, replica)
    parts = [part for batch in replica.batches for part in batch.parts if isinstance(part, TableChanges)]
    assert all(part.unchanged is None for part in parts)
    assert replica.table("shop.docs") == [(2, "two", body)]


def test_an_identity_index_serves_as_the_key(shop: Shop) -> None:
    shop.run(
        "CREATE TABLE people (id serial PRIMARY KEY, code text NOT NULL, country text NOT NULL, name text)",
        "CREATE UNIQUE INDEX people_code ON people (country, code)",
        "ALTER TABLE people REPLICA IDENTITY USING INDEX people_code",
        "INSERT INTO people (code, country, name) VALUES ('a', 'IT', 'Ada'), ('b', 'IT', 'Bob')",
    )
    shop.declare("people", {"country": Type.TEXT, "name": Type.TEXT, "code": Type.TEXT}, ("code", "country"))
    source, replica = shop.caught_up()
    shop.run("UPDATE people SET country = 'NO' WHERE code = 'a'", "DELETE FROM people WHERE code = 'b'")
    shop.follow(source, replica)
    assert replica.table("shop.people") == [("NO", "Ada", "a")]


def test_columns_that_are_not_declared_come_and_go_unseen(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run(
        "BEGIN; INSERT INTO orders VALUES (4, 'a', 1, NULL); ALTER TABLE orders ADD COLUMN note text DEFAULT 'x'; "
        "INSERT INTO orders VALUES (5, 'b', 1, NULL); COMMIT",
        "ALTER TABLE orders DROP COLUMN note; INSERT INTO orders VALUES (6, 'c', 1, NULL)",
    )
    orders.follow(source, replica)
    assert [row[1] for row in replica.table("shop.orders")[3:]] == ["a", "b", "c"]
    assert schema_changes(list(replica.batches)) == []


def test_a_dropped_column_is_announced_before_the_rows_without_it(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run(
        "BEGIN; INSERT INTO orders VALUES (4, 'a', 1, NULL); ALTER TABLE orders DROP COLUMN city; "
        "INSERT INTO orders VALUES (5, 1); COMMIT"
    )
    orders.follow(source, replica)
    [change] = schema_changes(list(replica.batches))
    assert change.schema.names == ("id", "amount", "sold")
    assert replica.rows["shop.orders"][(4,)][0] == (4, "a", "1.00", None)
    assert replica.rows["shop.orders"][(5,)][0] == (5, "1.00", None)


def test_a_type_that_no_longer_fits_is_announced_with_the_type_that_it_has(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("ALTER TABLE orders ALTER sold TYPE text USING 'on ' || sold", "INSERT INTO orders VALUES (4, 'a', 1, 'today')")
    orders.follow(source, replica)
    [change] = schema_changes(list(replica.batches))
    assert change.schema.type_of("sold") is Type.TEXT
    assert replica.rows["shop.orders"][(4,)][0] == (4, "a", "1.00", "today")


def test_a_column_that_comes_back_is_announced_too(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("ALTER TABLE orders RENAME COLUMN city TO town", "INSERT INTO orders VALUES (4, 'a', 1, NULL)")
    orders.run("ALTER TABLE orders RENAME COLUMN town TO city", "INSERT INTO orders VALUES (5, 'b', 1, NULL)")
    orders.follow(source, replica)
    announced = [change.schema.names for change in schema_changes(list(replica.batches))]
    assert announced == [("id", "amount", "sold"), tuple(ORDERS)]


def test_rows_that_lost_their_key_column_become_dead_letters(orders: Shop) -> None:
    source, replica = orders.caught_up()
    orders.run("ALTER TABLE orders RENAME COLUMN id TO number", "INSERT INTO orders VALUES (4, 'kept', 1, NULL)")
    orders.follow(source, replica)
    [letter] = replica.letters
    assert b"kept" in letter.raw
    assert letter.position.hi > 0
    assert '"public"."orders" at LSN' in letter.locator
    again = source.reread(letter)
    assert "topline resync shop.orders" in again.reason  # type: ignore[union-attr]


def test_several_tables_are_truncated_at_once_and_strangers_are_ignored(orders: Shop) -> None:
    orders.run("CREATE TABLE items (id int PRIMARY KEY, n int REFERENCES orders)", "INSERT INTO items VALUES (1, 1)")
    orders.declare("items", {"id": Type.BIGINT, "n": Type.BIGINT}, ("id",))
    orders.run("CREATE TABLE other (id int PRIMARY KEY)", "CREATE PUBLICATION every FOR ALL TABLES")
    source, replica = orders.caught_up(publication="every")
    orders.run("INSERT INTO other VALUES (1)", "TRUNCATE orders CASCADE", "TRUNCATE other")
    orders.follow(source, replica)
    assert (replica.table("shop.orders"), replica.table("shop.items")) == ([], [])


def test_a_partitioned_table_is_read_by_its_root(shop: Shop) -> None:
    shop.run(
        "CREATE TABLE sales (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
        "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE sales_2 PARTITION OF sales FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "INSERT INTO sales VALUES (1, '2026-01-05'), (2, '2026-02-05')",
    )
    shop.declare("sales", {"id": Type.BIGINT, "day": Type.DATE}, ("id", "day"))
    source, replica = shop.caught_up()
    shop.run("UPDATE sales SET day = '2026-02-06' WHERE id = 1", "INSERT INTO sales VALUES (3, '2026-01-01')")
    shop.follow(source, replica)
    assert replica.table("shop.sales") == [(1, 20490), (2, 20489), (3, 20454)]


def test_names_that_need_quotes_are_quoted(shop: Shop) -> None:
    shop.run(
        'CREATE SCHEMA "My Shop"',
        """CREATE TABLE "My Shop"."Order 'x'" ("Id" int PRIMARY KEY, "select" text)""",
        """INSERT INTO "My Shop"."Order 'x'" VALUES (1, 'a')""",
    )
    shop.declare("orders", {"Id": Type.BIGINT, "select": Type.TEXT}, ("Id",))
    source, replica = shop.source(tables={"orders": "My Shop.Order 'x'"}), shop.replica()
    catch_up(source, replica)
    shop.run("""INSERT INTO "My Shop"."Order 'x'" VALUES (2, 'b')""")
    shop.follow(source, replica)
    assert replica.table("shop.orders") == [(1, "a"), (2, "b")]
