"""DuckDB: the table is kept by delete and insert, and both totals are computed from scratch after each batch."""

import duckdb

from bench.engines.common import batches, first, measured, told

COLUMNS = "sale_id, date, country, region, city, salesman_id, salesman_name, cents"
CITIES = """
CREATE OR REPLACE TABLE cities AS
SELECT date, country, region, city, sum(cents)::BIGINT AS total, count(*) AS sales, max(cents) AS greatest
FROM sales GROUP BY ALL
"""
LATEST = """
CREATE OR REPLACE TEMP TABLE latest AS
SELECT * FROM (SELECT *, row_number() OVER () AS n FROM batch)
QUALIFY row_number() OVER (PARTITION BY sale_id ORDER BY n DESC) = 1
"""
MEN = """
CREATE OR REPLACE TABLE men AS
SELECT date, salesman_id, max(salesman_name) AS salesman_name, sum(total)::BIGINT AS total, sum(n)::BIGINT AS sales,
    count(*) AS cities
FROM (
    SELECT date, salesman_id, country, region, city, max(salesman_name) AS salesman_name, sum(cents) AS total, count(*) AS n
    FROM sales GROUP BY ALL
) GROUP BY date, salesman_id
"""


def main() -> None:
    database = duckdb.connect()
    database.register("load", first())
    database.execute(f"CREATE TABLE sales AS SELECT {COLUMNS} FROM load")
    database.execute(CITIES)
    database.execute(MEN)

    def work() -> None:
        for batch in batches():
            database.register("batch", batch)
            database.execute(LATEST)
            database.execute("DELETE FROM sales WHERE sale_id IN (SELECT sale_id FROM latest)")
            database.execute(f"INSERT INTO sales SELECT {COLUMNS} FROM latest WHERE NOT deleted")
            database.execute(CITIES)
            database.execute(MEN)

    seconds, cpu = measured(work)
    told(database.sql("FROM cities").to_arrow_table(), database.sql("FROM men").to_arrow_table(), seconds, cpu)


main()
