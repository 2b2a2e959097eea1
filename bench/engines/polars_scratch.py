"""polars: the table is kept by an anti-join and an append, and both totals are computed from scratch after each batch."""

from importlib import import_module
from typing import Any

from bench.engines.common import batches, first, measured, told

pl: Any = import_module("polars")

PLACE = ["date", "country", "region", "city"]


def main() -> None:
    sales: Any = pl.from_arrow(first()).drop("deleted")
    cities, men = totals(sales)

    def work() -> None:
        nonlocal sales, cities, men
        for batch in batches():
            latest = pl.from_arrow(batch).unique("sale_id", keep="last", maintain_order=True)
            kept = latest.filter(~pl.col("deleted")).drop("deleted")
            sales = pl.concat([sales.join(latest, on="sale_id", how="anti"), kept])
            cities, men = totals(sales)

    seconds, cpu = measured(work)
    told(cities.to_arrow(), men.to_arrow(), seconds, cpu)


def totals(sales: Any) -> tuple[Any, Any]:
    lazy = sales.lazy()
    cents = pl.col("cents")
    cities = lazy.group_by(PLACE).agg(cents.sum().alias("total"), pl.len().alias("sales"), cents.max().alias("greatest"))
    stops = lazy.group_by([*PLACE, "salesman_id"]).agg(pl.col("salesman_name").max(), cents.sum(), pl.len().alias("n"))
    men = stops.group_by("date", "salesman_id").agg(
        pl.col("salesman_name").max(), cents.sum().alias("total"), pl.col("n").sum().alias("sales"), pl.len().alias("cities")
    )
    found = pl.collect_all([cities, men])
    return found[0], found[1]


main()
