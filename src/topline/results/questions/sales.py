"""Sales by city: the ranking of a day or a range, and one city's days."""

from topline.results.questions.days import Days, exact_avg
from topline.results.questions.places import Places, within
from topline.results.questions.question import Listing, Order
from topline.schema import Column, Type

MODEL = "top_sales_by_city"
DAY = (
    Column("date", Type.DATE),
    Column("country", Type.TEXT),
    Column("region", Type.TEXT),
    Column("city", Type.TEXT),
    Column("total_sales", Type.DECIMAL),
    Column("transaction_count", Type.BIGINT),
    Column("avg_sale", Type.DECIMAL),
    Column("max_sale", Type.DECIMAL),
)
RANKED = (Column("rank", Type.BIGINT), *DAY)
_BEST = (Order("total_sales", descending=True), Order("country"), Order("region"), Order("city"))


def top_cities(
    days: Days,
    places: Places | None = None,
    *,
    country: str | None = None,
    region: str | None = None,
    city: str | None = None,
) -> Listing:
    """The cities with the highest sales, with their places from 1 among those asked for; ties by key in bytes.

    Of a range `date` is NULL.
    """
    only = within(places, country=country, region=region, city=city)
    return Listing(
        models=(MODEL,),
        columns=RANKED,
        order=_BEST,
        relation=_OF_A_DAY if days.single else _OF_A_RANGE,
        values={**days.values, **only.values},
        parts={"only": only.text},
        ranked=True,
    )


def city_history(days: Days, places: Places | None, country: str, region: str, city: str) -> Listing:
    """One city's days with sales, newest first."""
    only = within(places, country=country, region=region, city=city)
    return Listing(
        models=(MODEL,),
        columns=DAY,
        order=(Order("date", descending=True),),
        relation=_HISTORY,
        values={**days.values, **only.values},
        parts={"only": only.text},
    )


_OF_A_DAY = "SELECT * FROM {top_sales_by_city} WHERE date = %(first)s AND {only}"

_OF_A_RANGE = f"""
SELECT NULL::date AS date, country, region, city, sum(total_sales) AS total_sales,
       sum(transaction_count)::bigint AS transaction_count,
       {exact_avg("sum(total_sales)", "sum(transaction_count)")} AS avg_sale, max(max_sale) AS max_sale
FROM {{top_sales_by_city}} WHERE date BETWEEN %(first)s AND %(last)s AND {{only}}
GROUP BY country, region, city
"""

# Each day is looked up by the key; a range of the key would pass all cities of these days.
_HISTORY = """
SELECT * FROM {top_sales_by_city}
WHERE date = ANY (ARRAY (SELECT generate_series(%(first)s::date, %(last)s::date, '1 day')::date)) AND {only}
"""
