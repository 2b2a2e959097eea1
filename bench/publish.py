"""How long publishing takes: a whole table, and changed rows into it, on the embedded PostgreSQL."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.figures import Figure
from topline.embedded import EmbeddedPostgres
from topline.models.plan import ModelPlan, Scan
from topline.results import Changed, Epoch, Publisher, Replace
from topline.schema import Column, TableSchema, Type

SCHEMA = TableSchema(
    "top_sales_by_city",
    (
        Column("date", Type.DATE),
        Column("country", Type.TEXT),
        Column("region", Type.TEXT),
        Column("city", Type.TEXT),
        Column("total_sales", Type.DECIMAL),
        Column("transaction_count", Type.BIGINT),
        Column("avg_sale", Type.DECIMAL),
        Column("max_sale", Type.DECIMAL),
    ),
    ("date", "country", "region", "city"),
)
SIZES = {"small": (100_000, 3), "full": (600_000, 9)}
"""Rows of the table, and how often each size of change is published."""
CITIES_A_DAY = 500
FIRST_DAY = date(2020, 1, 1)
Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


def run(scale: str) -> Iterator[Figure]:
    rows, repeat = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        publisher = Publisher(server.dsn("bench"), "results", state_id="bench")
        publisher.open({SCHEMA.name: _model()}, epoch=10**9, published={})
        yield from _published(publisher, np.arange(rows), repeat)
        publisher.close()
        place = server.place
    shutil.rmtree(place, ignore_errors=True)  # as root it lies in /var/tmp


def _published(publisher: Publisher, everything: Numbers, repeat: int) -> Iterator[Figure]:
    rows, number = len(everything), 1
    whole = Replace([_rows(chunk, 0) for chunk in np.array_split(everything, max(1, rows // 50_000))])
    yield Figure(f"a table of {rows:,} rows published whole", "ms", [_ms(lambda: publisher.publish(_epoch(1, whole)))])
    for size in [size for size in (1, 10, 100, 1_000, 10_000, 100_000) if size <= rows]:
        taken = []
        for repetition in range(repeat):
            number += 1
            picked = np.random.default_rng(repetition).choice(everything, size, replace=False)
            changed = _rows(picked, number)
            epoch = _epoch(number, Changed(changed.select(SCHEMA.key), changed))
            taken.append(_ms(lambda epoch=epoch: publisher.publish(epoch)))  # type: ignore[misc]
        yield Figure(f"{size:,} changed rows published into {rows:,}", "ms", taken)


def _model() -> ModelPlan:
    return ModelPlan(
        name=SCHEMA.name,
        path="",
        description="",
        root=Scan(columns=SCHEMA.columns, table="shop.orders"),
        schema=SCHEMA,
        published=True,
        sql_duckdb="",
        sql_postgres="",
        depends_on=("shop.orders",),
        lineage=(),
        indexes=(("date", "total_sales desc"),),
    )


def _rows(numbers: Numbers, version: int) -> pa.Table:
    """City `n % 500` on day `n // 500`; every version has other totals."""
    units = pa.array((numbers * 37 + version * 1_000) % 10**9)
    money = units.cast(pa.decimal128(19, 0)).cast(pa.decimal128(18, 4))
    return pa.table(
        {
            "date": pa.array([FIRST_DAY + timedelta(days=int(n) // CITIES_A_DAY) for n in numbers], pa.date32()),
            "country": pa.array(["IT"] * len(numbers)),
            "region": pa.array([""] * len(numbers)),
            "city": pa.array([f"City number {n % CITIES_A_DAY}" for n in numbers]),
            "total_sales": money,
            "transaction_count": pa.array(numbers % 100),
            "avg_sale": money,
            "max_sale": money,
        },
        schema=SCHEMA.arrow,
    )


def _epoch(number: int, change: Changed | Replace) -> Epoch:
    return Epoch(number, {SCHEMA.name: change}, {"shop": datetime.now(UTC)})


def _ms(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)
