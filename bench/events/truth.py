"""The rankings that the events must give, by DuckDB from the sales that count at the end, and whether PostgreSQL has them."""

from collections.abc import Mapping, Sequence

import duckdb
import psycopg
import pyarrow as pa

from bench.events.content import PEOPLE, PLACES, cents, sale_ids
from bench.events.stream import Stream

ZONE = "Europe/Rome"
_SALES = f"""
CREATE VIEW sales AS
SELECT sale_id, CAST(instant AT TIME ZONE '{ZONE}' AS DATE) AS date, country, region, city, salesman_id, salesman_name, amount
FROM last JOIN places ON city_number = places.number JOIN people ON salesman_number = people.number
"""
_AVERAGE = "CAST((2 * CAST(sum(amount) * 10000 AS HUGEINT) + count(*)) // (2 * count(*)) AS DECIMAL(18, 0)) / 10000"
TABLES = {
    "top_sales_by_city": f"""
        SELECT date, country, region, city, CAST(sum(amount) AS DECIMAL(18, 4)) AS total_sales, count(*) AS transaction_count,
            CAST({_AVERAGE} AS DECIMAL(18, 4)) AS avg_sale, CAST(max(amount) AS DECIMAL(18, 4)) AS max_sale
        FROM sales GROUP BY ALL""",
    "top_salesmen": f"""
        SELECT date, salesman_id, max(salesman_name) AS salesman_name, CAST(sum(amount) AS DECIMAL(18, 4)) AS total_sales,
            count(*) AS deals_closed, CAST({_AVERAGE} AS DECIMAL(18, 4)) AS avg_deal_size,
            count(DISTINCT (country, region, city)) AS cities_covered,
            row_number() OVER (PARTITION BY date ORDER BY sum(amount) DESC, salesman_id) AS rank
        FROM sales GROUP BY date, salesman_id QUALIFY rank <= 100""",
}


def rankings(stream: Stream) -> dict[str, pa.Table]:
    """Model -> its rows at the end. Amounts are positive, so that half away from zero is half up."""
    last = stream.last()
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.register(
            "last",
            pa.table(
                {
                    "sale_id": sale_ids(last.sale),
                    "instant": pa.array(last.second).cast(pa.timestamp("s", tz="UTC")),
                    "city_number": last.city,
                    "salesman_number": last.salesman,
                    "amount": cents(last.cents),
                }
            ),
        )
        for name, columns in (("places", PLACES), ("people", PEOPLE)):
            database.register(name, pa.table({"number": range(len(next(iter(columns.values())))), **columns}))
        database.execute(_SALES)
        return {name: database.sql(query).to_arrow_table() for name, query in TABLES.items()}


def differences(expected: pa.Table, found: pa.Table) -> int:
    """Rows that one has and the other has not."""
    with duckdb.connect() as database:
        database.register("expected", expected)
        database.register("found", found.select(expected.column_names).cast(expected.schema))
        one_way = "SELECT count(*) FROM (FROM {} EXCEPT ALL FROM {})"
        rows = [database.execute(one_way.format(*pair)).fetchall() for pair in (("expected", "found"), ("found", "expected"))]
    return sum(int(count) for ((count,),) in rows)


def published(dsn: str, schema: str, expected: pa.Table, name: str) -> pa.Table:
    """What PostgreSQL has of a model."""
    columns = ", ".join(expected.column_names)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(f"SELECT {columns} FROM {schema}.{name}".encode()).fetchall()
    cells: list[Sequence[object]] = list(zip(*rows, strict=True)) or [() for _ in expected.column_names]
    arrays = [pa.array(list(cell), field.type) for cell, field in zip(cells, expected.schema, strict=True)]
    return pa.table(arrays, expected.schema)


def require(dsn: str, schema: str, expected: Mapping[str, pa.Table]) -> None:
    """SystemExit where PostgreSQL has other rows: a figure of a wrong result is none."""
    for name, table in expected.items():
        if count := differences(table, published(dsn, schema, table, name)):
            raise SystemExit(f"{name}: {count} rows differ from what the events give")
