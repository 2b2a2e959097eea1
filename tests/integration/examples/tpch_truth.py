"""What TPC-H's rankings must be: plain PostgreSQL over the source's tables, written apart from the models."""

from collections.abc import Mapping

import psycopg

Rows = Mapping[str, list[str]]

_SALES = """
CREATE TEMP TABLE line_totals AS
SELECT l_orderkey, sum(round(l_extendedprice * (1 - l_discount), 4)) AS amount,
    bool_or(l_extendedprice = 'NaN' OR l_discount = 'NaN') AS broken
FROM public.lineitem GROUP BY l_orderkey;

CREATE TEMP TABLE placed AS
SELECT o.*, c.c_custkey, n.n_name, coalesce(r.r_name, '') AS r_name, t.l_orderkey, t.amount, t.broken
FROM public.orders o
LEFT JOIN public.customer c ON c.c_custkey = o.o_custkey
LEFT JOIN public.nation n ON n.n_nationkey = c.c_nationkey
LEFT JOIN public.region r ON r.r_regionkey = n.n_regionkey
LEFT JOIN line_totals t ON t.l_orderkey = o.o_orderkey;

CREATE TEMP TABLE sold AS
SELECT o_orderdate AS date, trim(r_name) AS region, trim(n_name) AS city, trim(o_clerk) COLLATE "C" AS clerk, amount
FROM placed
WHERE n_name IS NOT NULL AND amount IS NOT NULL AND NOT broken AND trim(o_clerk) <> ''
    AND o_orderdate >= '1900-01-01' AND o_orderdate < '3000-01-01';
"""
_EXPECTED = {
    "top_sales_by_city": """
        SELECT date, 'World', region, city, sum(amount), count(*), round(sum(amount) / count(*), 4), max(amount)
        FROM sold GROUP BY date, region, city""",
    "salesman_city_daily": """
        SELECT date, clerk, 'World', region, city, sum(amount), count(*) FROM sold GROUP BY date, clerk, region, city""",
    "salesman_daily": """
        SELECT date, clerk, clerk, sum(amount), count(*), round(sum(amount) / count(*), 4), count(DISTINCT (region, city))
        FROM sold GROUP BY date, clerk""",
    "top_salesmen": """
        SELECT * FROM (
            SELECT date, clerk, clerk, sum(amount), count(*), round(sum(amount) / count(*), 4), count(DISTINCT (region, city)),
                row_number() OVER (PARTITION BY date ORDER BY sum(amount) DESC, clerk) AS place
            FROM sold GROUP BY date, clerk) ranked
        WHERE place <= {places}""",
    "salesmen_of_the_year": """
        SELECT * FROM (
            SELECT extract(year FROM date)::bigint, clerk, sum(amount), count(*),
                row_number() OVER (PARTITION BY extract(year FROM date)::bigint ORDER BY sum(amount) DESC, clerk) AS place
            FROM sold GROUP BY 1, 2) ranked
        WHERE place <= {places}""",
    "rejected_sales": """
        SELECT 'tpch', 'orders', o_orderkey::text,
            CASE WHEN c_custkey IS NULL THEN 'customer not known' WHEN l_orderkey IS NULL THEN 'lines missing'
                WHEN broken THEN 'price or discount missing, not a number, or too large'
                WHEN NOT o_orderdate BETWEEN '1900-01-01' AND '2999-12-31' THEN 'date not from 1900 to 2999'
                WHEN n_name IS NULL THEN 'city missing' ELSE 'salesman missing' END,
            'o_orderkey=' || o_orderkey || ' o_custkey=' || o_custkey || ' o_clerk=' || trim(o_clerk)
        FROM placed
        WHERE n_name IS NULL OR amount IS NULL OR broken OR trim(o_clerk) = ''
            OR NOT o_orderdate BETWEEN '1900-01-01' AND '2999-12-31'""",
}


def expected(dsn: str, places: int) -> Rows:
    """Each result table's rows, each as PostgreSQL shows it, sorted."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_SALES.encode())
        return {name: _rows(connection, query.format(places=places)) for name, query in _EXPECTED.items()}


def published(dsn: str) -> Rows:
    """The same of what Topline published, all tables in one snapshot."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return {name: _rows(connection, f"SELECT * FROM topline.{name}") for name in _EXPECTED}


def _rows(connection: psycopg.Connection, query: str) -> list[str]:
    return sorted(text for (text,) in connection.execute(f"SELECT q::text FROM ({query}) q".encode()))
