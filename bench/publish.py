"""How long publishing takes: changed rows into a table of 600,000 rows, and whole tables, on the embedded PostgreSQL.

python -m bench.publish [--rows 600000] [--repeat 5]
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

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
CITIES_A_DAY = 500
FIRST_DAY = date(2020, 1, 1)


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as server:
        publisher = Publisher(server.dsn("bench"), "results", state_id="bench")
        publisher.open({SCHEMA.name: _model()}, epoch=10**9, published={})
        everything = np.arange(arguments.rows)
        whole = Replace([_rows(chunk, 0) for chunk in np.array_split(everything, max(1, arguments.rows // 50_000))])
        print(f"{arguments.rows:>8,} rows replaced: {_seconds(lambda: publisher.publish(_epoch(1, whole))):8.3f} s")
        number = 2
        for size in (1, 10, 100, 1_000, 10_000, 100_000):
            taken = []
            for repetition in range(arguments.repeat):
                picked = np.random.default_rng(repetition).choice(everything, min(size, arguments.rows), replace=False)
                rows = _rows(picked, number)
                epoch = _epoch(number, Changed(rows.select(SCHEMA.key), rows))
                taken.append(_seconds(lambda epoch=epoch: publisher.publish(epoch)))  # type: ignore[misc]
                number += 1
            shown = f"{statistics.median(taken):8.4f} s (median of {arguments.repeat}; least {min(taken):.4f} s)"
            print(f"{size:>8,} rows merged:   {shown}")
        publisher.close()
        place = server.place
    shutil.rmtree(place, ignore_errors=True)  # as root it lies in /var/tmp


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--repeat", type=int, default=5)
    return parser.parse_args()


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


def _rows(numbers: np.ndarray[tuple[int], np.dtype[np.int64]], version: int) -> pa.Table:
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


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
