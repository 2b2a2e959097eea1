"""The published models recomputed from the ledger, by plain PostgreSQL written here, and compared with the results."""

from collections.abc import Mapping
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql

from topline.errors import WorkError

Row = tuple[object, ...]


class Model(NamedTuple):
    """columns: in the order of `query`; the first `key` of them identify a row."""

    columns: tuple[str, ...]
    key: int
    query: LiteralString


# AVG as integer units of 10^-4, rounded half away from zero: `/` on numeric rounds by itself, and rounding twice is wrong.
# div() truncates, exactly: avg = sign * (2 * |units| + n) div (2 * n).
_SALE: LiteralString = """
WITH sale AS (
    SELECT coalesce(sold_on, (sold_at AT TIME ZONE %(zone)s)::date) AS day, country, region, city,
           salesman_id, salesman_name, amount
    FROM ledger.entries WHERE fault IS NULL
), by_salesman AS (
    SELECT day, salesman_id, max(salesman_name) AS salesman_name, sum(amount) AS total, count(*) AS n,
           sign(sum(amount)) * div(2 * abs(sum(amount)) * 10000 + count(*), 2 * count(*)) / 10000 AS average,
           count(DISTINCT (country, region, city)) AS cities
    FROM sale GROUP BY day, salesman_id
)
"""

MODELS: dict[str, Model] = {
    "top_sales_by_city": Model(
        ("date", "country", "region", "city", "total_sales", "transaction_count", "avg_sale", "max_sale"),
        4,
        _SALE
        + """SELECT day, country, region, city, sum(amount), count(*),
            sign(sum(amount)) * div(2 * abs(sum(amount)) * 10000 + count(*), 2 * count(*)) / 10000, max(amount)
        FROM sale GROUP BY day, country, region, city""",
    ),
    "top_salesmen": Model(
        ("date", "salesman_id", "salesman_name", "total_sales", "deals_closed", "avg_deal_size", "cities_covered", "rank"),
        2,
        _SALE
        + """SELECT * FROM (
            SELECT *, row_number() OVER (PARTITION BY day ORDER BY total DESC, salesman_id COLLATE "C") AS place
            FROM by_salesman
        ) ranked WHERE place <= 100""",
    ),
    "salesman_daily": Model(
        ("date", "salesman_id", "salesman_name", "total_sales", "deals_closed", "avg_deal_size", "cities_covered"),
        2,
        _SALE + "SELECT * FROM by_salesman",
    ),
    "salesman_city_daily": Model(
        ("date", "salesman_id", "country", "region", "city", "total_sales", "deals_closed"),
        5,
        _SALE + "SELECT day, salesman_id, country, region, city, sum(amount), count(*) FROM sale GROUP BY 1, 2, 3, 4, 5",
    ),
    "rejected_sales": Model(("source", "row_key"), 2, "SELECT source, sale_id FROM ledger.rejected"),
}


def rankings(dsn: str, time_zone: str) -> dict[str, list[Row]]:
    """Every published model, whole, as the ledger has it: model -> rows with the columns of `MODELS`, ordered by the key."""
    with psycopg.connect(dsn) as connection:
        return {
            name: _sorted(connection.execute(model.query, {"zone": time_zone}).fetchall(), model.key)
            for name, model in MODELS.items()
        }


def compare(ledger_dsn: str, results_dsn: str, schema: str, time_zone: str, limit: int = 10) -> dict[str, list[str]]:
    """Where the results differ from the ledger: every model -> at most `limit` differences in words; none: equal.

    WorkError where a result table or one of its columns is missing, or a run of the generator did not end by itself.
    """
    _complete(ledger_dsn)
    expected = rankings(ledger_dsn, time_zone)
    with psycopg.connect(results_dsn) as connection:
        found = {name: _results(connection, schema, name) for name in MODELS}
    return {name: differing(name, expected[name], found[name], limit) for name in MODELS}


def differing(name: str, expected: list[Row], found: list[Row], limit: int = 10) -> list[str]:
    """The differences of one model in words, at most `limit`, with one more line that counts the rest."""
    model = MODELS[name]
    right, wrong = _by_key(expected, model.key), _by_key(found, model.key)
    keys = sorted({row[: model.key] for row in set(expected) ^ set(found)}, key=_order)
    lines = [_difference(model, key, right.get(key), wrong.get(key)) for key in keys[:limit]]
    if len(found) != len(wrong):
        lines.append(f"{len(found) - len(wrong)} keys stand in the results more than once")
    return [*lines, f"and {len(keys) - limit} more"] if len(keys) > limit else lines


def _difference(model: Model, key: Row, right: Row | None, wrong: Row | None) -> str:
    where = " ".join(f"{name}={value}" for name, value in zip(model.columns, key, strict=False))
    if wrong is None and right is not None:
        return f"{where}: missing in the results{_values('; the ledger has ', model, right)}"
    if right is None and wrong is not None:
        return f"{where}: not in the ledger{_values('; the results have ', model, wrong)}"
    pairs = zip(model.columns, right or (), wrong or (), strict=True)
    return f"{where}: " + ", ".join(f"{name} is {got}, should be {want}" for name, want, got in pairs if want != got)


def _values(before: str, model: Model, row: Row) -> str:
    values = [f"{name} {value}" for name, value in zip(model.columns, row, strict=True)][model.key :]
    return before + ", ".join(values) if values else ""


def _results(connection: psycopg.Connection[Row], schema: str, name: str) -> list[Row]:
    columns = sql.SQL(", ").join(map(sql.Identifier, MODELS[name].columns))
    try:
        return connection.execute(sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(schema, name))).fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise WorkError(f"cannot compare {schema}.{name} with the ledger: {error.diag.message_primary}") from None


def _complete(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        runs = [row[0] for row in connection.execute("SELECT run FROM ledger.runs WHERE NOT complete ORDER BY run")]
    if runs:
        raise WorkError(
            f"the ledger is not complete: the generator's run {runs[0]} is still going on, or was killed before it wrote all "
            "down. Stop it with Ctrl-C, or begin with an empty shop, folder and ledger"
        )


def _by_key(rows: list[Row], width: int) -> Mapping[Row, Row]:
    return {row[:width]: row for row in rows}


def _sorted(rows: list[Row], width: int) -> list[Row]:
    return sorted(rows, key=lambda row: _order(row[:width]))


def _order(key: Row) -> tuple[bytes, ...]:
    return tuple(str(value).encode() for value in key)
