"""The generator writes what its ledger says it wrote, into a real PostgreSQL, a real folder and the partner's book."""

import itertools
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.conftest import Postgres
from tests.integration.generate.recompute import (
    Counted,
    branch_rows,
    branch_sales,
    models,
    partner_entries,
    partner_rows,
    partner_sales,
    shop_orders,
    shop_sales,
)
from tests.polling import until
from topline.embedded.partner import Entry
from topline.errors import WorkError
from topline.generate import KINDS, Generator, Kind, Options, compare, rankings
from topline.generate.rankings import MODELS
from topline.generate.shop_writer import TABLES

START = datetime(2026, 11, 21, 10, tzinfo=UTC)
ZONE = "Europe/Rome"


def options_in(postgres: Postgres, folder: Path, **options: Any) -> Options:
    """All three sources, fresh."""
    return Options(
        shop_dsn=postgres.dsn("shop"),
        folder=folder / "inbox",
        ledger_dsn=postgres.dsn("ledger"),
        partner=folder / "partner.sqlite",
        **options,
    )


@pytest.fixture(scope="module")
def stream(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Options:
    """Some seconds of the demo's stream, at four times its rate, and all that it wrote."""
    options = options_in(postgres, tmp_path_factory.mktemp("stream"), start=START, rate=160, duration=5)
    run(options)
    return options


def run(options: Options) -> Generator:
    generator = Generator(options)
    generator.prepare()
    generator.start()
    until(lambda: not generator.running, timeout=60)
    generator.stop()
    return generator


def written(options: Options) -> set[Counted]:
    zone, partner = ZoneInfo(options.time_zone), options.partner
    sales = shop_sales(options.shop_dsn, zone, options.currency) | branch_sales(options.folder, zone, options.currency)
    return sales | partner_sales(partner, options.currency) if partner else sales


def rejected(options: Options) -> set[tuple[object, ...]]:
    """Readable rows that count for nothing, though nobody cancelled them."""
    counting = {(sale.source, sale.sale_id) for sale in written(options)}
    entries = partner_rows(options.partner) if options.partner else set()
    return {*shop_orders(options.shop_dsn), *branch_rows(options.folder), *entries} - counting


def booked(options: Options) -> set[Counted]:
    columns = ", ".join(Counted._fields)
    with psycopg.connect(options.ledger_dsn) as connection:
        return {Counted(*row) for row in connection.execute(f"SELECT {columns} FROM ledger.sales")}


def test_ledger_holds_what_was_written(stream: Options) -> None:
    assert len(written(stream)) > 2_000
    assert booked(stream) == written(stream)


def test_rankings_equal_plain_loops(stream: Options) -> None:
    expected = models(written(stream)) | {"rejected_sales": rejected(stream)}
    found = rankings(stream.ledger_dsn, stream.time_zone)
    assert {name: set(rows) for name, rows in found.items()} == expected


@pytest.mark.parametrize(("model", "total"), [("top_salesmen", 3), ("top_sales_by_city", 4)])
def test_ties_are_really_ties(stream: Options, model: str, total: int) -> None:
    rows = rankings(stream.ledger_dsn, ZONE)[model]
    tied = Counter((row[0], row[total]) for row in rows)
    assert sum(count == 2 and amount == 250 for (_, amount), count in tied.items()) >= 2


def test_days_follow_the_zone_asked_for(stream: Options) -> None:
    rome, auckland = rankings(stream.ledger_dsn, ZONE), rankings(stream.ledger_dsn, "Pacific/Auckland")
    assert rome["salesman_daily"] != auckland["salesman_daily"]


def test_every_kind_is_written_to_every_source(postgres: Postgres, tmp_path: Path) -> None:
    generator = Generator(options_in(postgres, tmp_path, duration=30, history=400))
    generator.prepare()
    generator.start()
    until(lambda: all(set(generator.kinds()[source]) >= kinds for source, kinds in KINDS.items()), timeout=30)
    generator.stop()


def test_a_second_run_goes_on_over_the_same_sources(postgres: Postgres, tmp_path: Path) -> None:
    options = options_in(postgres, tmp_path, history=200, rate=300, duration=1, start=START)
    run(options)
    first, noted = len(written(options)), newest(options)
    run(options)
    assert len(written(options)) > first + 200
    assert booked(options) == written(options)
    assert min(entry.changed_at for entry in entries_of(options) if entry.id.startswith("P2")) >= noted


def entries_of(options: Options) -> list[Entry]:
    assert options.partner is not None
    return partner_entries(options.partner)


def newest(options: Options) -> str:
    return max(entry.changed_at for entry in entries_of(options))


def test_without_a_partner_all_goes_to_the_others(postgres: Postgres, tmp_path: Path) -> None:
    options = Options(shop_dsn=postgres.dsn("shop"), folder=tmp_path, ledger_dsn=postgres.dsn("ledger"), count=500)
    assert run(options).kinds().keys() == {"shop", "branches"}
    assert booked(options) == written(options)
    assert {sale.source for sale in booked(options)} == {"shop", "branches"}


def test_each_source_gets_its_share(postgres: Postgres, tmp_path: Path) -> None:
    options = options_in(postgres, tmp_path, count=3_000, shares={"branches": 1, "partner": 3, "shop": 0})
    kinds = run(options).kinds()
    assert kinds.keys() == {"branches", "partner"}
    assert 2.9 < kinds["partner"].total() / kinds["branches"].total() < 3.1
    assert {sale.source for sale in booked(options)} == {"branches", "partner"}


@pytest.fixture(scope="module")
def load(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[Options, Generator]:
    """A benchmark's load: 30,000 sales at full speed."""
    options = options_in(postgres, tmp_path_factory.mktemp("load"), start=START, count=30_000)
    return options, run(options)


def test_full_speed_writes_that_many_sales(load: tuple[Options, Generator]) -> None:
    options, generator = load
    assert booked(options) == written(options)
    kinds = sum(generator.kinds().values(), Counter[Kind]())
    assert 30_000 <= kinds[Kind.NEW] + kinds[Kind.LATE] + kinds[Kind.BROKEN] + 2 * kinds[Kind.TIED] <= 30_001


def test_same_seed_and_start_write_the_same_bytes(postgres: Postgres, tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        options = options_in(postgres, tmp_path / name, start=START, count=3_000)
        run(options)
        with psycopg.connect(options.shop_dsn) as connection:
            tables = [connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall() for table in TABLES]
        found.append((tables, entries_of(options), {path.name: path.read_bytes() for path in options.folder.iterdir()}))
    assert found[0] == found[1]


def test_full_speed_leaves_sales_rejected_for_every_reason(load: tuple[Options, Generator]) -> None:
    with psycopg.connect(load[0].ledger_dsn) as connection:
        reasons = {(row[0], row[1]) for row in connection.execute("SELECT source, fault FROM ledger.rejected")}
    shop = {("shop", reason) for reason in ("amount", "currency", "customer", "city", "salesman", "time")}
    flat = itertools.product(("branches", "partner"), ("amount", "currency", "city", "salesman_id", "time"))
    assert reasons == shop | set(flat)


def publish(options: Options, dsn: str) -> None:
    """The right results, as tables of the schema `topline`."""
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE SCHEMA topline")
        for name, rows in rankings(options.ledger_dsn, ZONE).items():
            columns = ", ".join(f"{column} {kind(column)}" for column in MODELS[name].columns)
            connection.execute(f"CREATE TABLE topline.{name} ({columns})")
            marks = ", ".join(["%s"] * len(MODELS[name].columns))
            with connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO topline.{name} VALUES ({marks})", rows)


def kind(column: str) -> str:
    if column in ("total_sales", "avg_sale", "max_sale", "avg_deal_size"):
        return "decimal(18,4)"
    return "date" if column == "date" else "bigint" if column in COUNTS else 'text COLLATE "C"'


COUNTS = ("transaction_count", "deals_closed", "cities_covered", "rank")


def test_equal_results_have_no_difference_and_each_injected_one_is_named(stream: Options, postgres: Postgres) -> None:
    results = postgres.dsn("results")
    publish(stream, results)
    assert compare(stream.ledger_dsn, results, "topline", ZONE) == {name: [] for name in MODELS}
    with psycopg.connect(results) as connection:
        connection.execute("UPDATE topline.top_sales_by_city SET max_sale = max_sale + 0.0001 WHERE city = 'Milano'")
        connection.execute("DELETE FROM topline.top_salesmen WHERE rank = 1")
        connection.execute("INSERT INTO topline.salesman_daily VALUES ('2001-01-01', '9', 'Nobody', 1, 1, 1, 1)")
        connection.execute("INSERT INTO topline.rejected_sales VALUES ('shop', 'S9-1')")
    found = compare(stream.ledger_dsn, results, "topline", ZONE, limit=3)
    assert {name for name, lines in found.items() if lines} == {*MODELS} - {"salesman_city_daily"}
    assert "max_sale is" in found["top_sales_by_city"][0]
    assert "Milano" in found["top_sales_by_city"][0]
    assert "missing in the results" in found["top_salesmen"][0]
    assert "more" in found["top_salesmen"][-1]
    assert "not in the ledger" in found["salesman_daily"][0]
    assert found["rejected_sales"] == ["source=shop row_key=S9-1: not in the ledger"]
    assert all(len(lines) <= 4 for lines in found.values())


def test_a_missing_result_table_is_an_error(stream: Options, postgres: Postgres) -> None:
    with pytest.raises(WorkError, match="top_sales_by_city"):
        compare(stream.ledger_dsn, postgres.dsn("results"), "topline", ZONE)


def test_a_ledger_of_a_running_generator_is_not_compared(postgres: Postgres, tmp_path: Path) -> None:
    ledger = postgres.dsn("ledger")
    generator = Generator(Options(shop_dsn=postgres.dsn("shop"), folder=tmp_path, ledger_dsn=ledger, history=50))
    generator.prepare()
    generator.start()
    with pytest.raises(WorkError, match="not complete"):
        compare(ledger, postgres.dsn("results"), "topline", ZONE)
    generator.stop()


def test_broken_connections_lose_nothing(postgres: Postgres, tmp_path: Path) -> None:
    options = options_in(postgres, tmp_path, history=100, rate=300)
    generator = Generator(options)
    generator.prepare()
    generator.start()
    for target in (1_000, 1_500, 2_000):
        until(lambda target=target: generator.written > target, timeout=60)  # type: ignore[misc]
        for dsn in (options.shop_dsn, options.ledger_dsn):
            with psycopg.connect(dsn) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
    generator.stop()
    assert len(written(options)) > 1_000
    assert booked(options) == written(options)


def test_a_generator_that_was_only_prepared_has_a_complete_ledger(postgres: Postgres, tmp_path: Path) -> None:
    options = options_in(postgres, tmp_path, history=50)
    generator = Generator(options)
    generator.prepare()
    generator.stop()
    results = postgres.dsn("results")
    publish(options, results)
    assert not any(compare(options.ledger_dsn, results, "topline", ZONE).values())


def test_a_database_that_is_not_there_is_an_error(postgres: Postgres, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="cannot connect to the shop's database"):
        Generator(Options(shop_dsn="postgresql://127.0.0.1:1/none", folder=tmp_path, ledger_dsn=postgres.dsn("ledger")))


def test_what_ended_the_stream_is_raised_by_stop(postgres: Postgres, tmp_path: Path) -> None:
    shop = postgres.dsn("shop")
    generator = Generator(Options(shop_dsn=shop, folder=tmp_path, ledger_dsn=postgres.dsn("ledger"), history=50))
    generator.prepare()
    with psycopg.connect(shop) as connection:
        connection.execute("DROP TABLE orders")
    generator.start()
    until(lambda: not generator.running)
    with pytest.raises(psycopg.errors.UndefinedTable):
        generator.stop()
