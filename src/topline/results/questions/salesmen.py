"""Salesmen: the ranking of a day or a range, one salesman's days, and his totals.

Within a rule all is computed from `salesman_city_daily`, over the cities that may be seen and no others.
"""

from topline.results.questions.days import Days, exact_avg
from topline.results.questions.places import Places, within
from topline.results.questions.question import Listing, Order
from topline.schema import Column, Type

RANKING, DAILY, BY_CITY = "top_salesmen", "salesman_daily", "salesman_city_daily"
DAY = (
    Column("date", Type.DATE),
    Column("salesman_id", Type.TEXT),
    Column("salesman_name", Type.TEXT),
    Column("total_sales", Type.DECIMAL),
    Column("deals_closed", Type.BIGINT),
    Column("avg_deal_size", Type.DECIMAL),
    Column("cities_covered", Type.BIGINT),
)
RANKED = (*DAY, Column("rank", Type.BIGINT))
_BEST = (Order("total_sales", descending=True), Order("salesman_id"))
_NEWEST = (Order("date", descending=True),)


def top_salesmen(days: Days, places: Places | None = None) -> Listing:
    """The best salesmen, with their places from 1; ties by id in bytes. Of a day in the whole country the first hundred,
    else all. Of a range `date` is NULL, and the name is the greatest in it."""
    if days.single and places is None:
        return Listing(models=(RANKING,), columns=RANKED, order=_BEST, relation=_RANKING, values=days.values)
    only = within(places)
    return Listing(
        models=(BY_CITY, DAILY),
        columns=RANKED,
        order=_BEST,
        relation=_TOTALS,
        values={**days.values, **only.values, "single": days.single},
        parts={"only": only.text},
        shown={"salesman_name": _NAME_OF_ROW, "avg_deal_size": exact_avg("t.total_sales", "t.deals_closed")},
        ranked=True,
    )


def salesman_history(days: Days, places: Places | None, salesman: str) -> Listing:
    """A salesman's days with sales, newest first. `extra`: whether any sale of his counts at all."""
    only = within(places)
    return Listing(
        models=(DAILY,) if places is None else (BY_CITY, DAILY),
        columns=DAY,
        order=_NEWEST,
        relation=_DAYS if places is None else _DAYS_WITHIN,
        values={**days.values, **only.values, "salesman": salesman},
        parts={"only": only.text},
        shown={} if places is None else {"salesman_name": _NAME_OF_DAY},
        extra=f"to_json({_KNOWN if places is None else _KNOWN_WITHIN})",
    )


def salesman_totals(days: Days, places: Places | None, salesman: str) -> Listing:
    """The same days; `extra` has his name and totals, NULL where no sale of his counts at all."""
    history = salesman_history(days, places, salesman)
    known = _KNOWN if places is None else _KNOWN_WITHIN
    return Listing(
        models=(BY_CITY, DAILY),
        columns=history.columns,
        order=history.order,
        relation=history.relation,
        values=history.values,
        parts=history.parts,
        shown=history.shown,
        extra=f"CASE WHEN {known} THEN ({_HIS_TOTALS}) END",
    )


_RANKING = "SELECT * FROM {top_salesmen} WHERE date = %(first)s"

_TOTALS = """
SELECT CASE WHEN %(single)s THEN %(first)s::date END AS date, salesman_id, sum(total_sales) AS total_sales,
       sum(deals_closed)::bigint AS deals_closed, count(*) AS cities_covered
FROM (SELECT salesman_id, country, region, city, sum(total_sales) AS total_sales, sum(deals_closed) AS deals_closed
      FROM {salesman_city_daily} WHERE date BETWEEN %(first)s AND %(last)s AND {only}
      GROUP BY salesman_id, country, region, city) c
GROUP BY salesman_id
"""

_NAME_OF_ROW = """
SELECT max(d.salesman_name) FROM {salesman_daily} d
WHERE d.salesman_id = t.salesman_id AND d.date BETWEEN %(first)s AND %(last)s
"""

_DAYS = "SELECT * FROM {salesman_daily} WHERE salesman_id = %(salesman)s AND date BETWEEN %(first)s AND %(last)s"

_DAYS_WITHIN = f"""
SELECT date, salesman_id, sum(total_sales) AS total_sales, sum(deals_closed)::bigint AS deals_closed,
       {exact_avg("sum(total_sales)", "sum(deals_closed)")} AS avg_deal_size, count(*) AS cities_covered
FROM {{salesman_city_daily}}
WHERE salesman_id = %(salesman)s AND date BETWEEN %(first)s AND %(last)s AND {{only}}
GROUP BY date, salesman_id
"""

_NAME_OF_DAY = "SELECT d.salesman_name FROM {salesman_daily} d WHERE d.salesman_id = t.salesman_id AND d.date = t.date"

_KNOWN = "EXISTS (SELECT FROM {salesman_daily} WHERE salesman_id = %(salesman)s)"
_KNOWN_WITHIN = "EXISTS (SELECT FROM {salesman_city_daily} WHERE salesman_id = %(salesman)s AND {only})"

# Without a sale in the range the name is that of his newest day.
_HIS_TOTALS = f"""
SELECT json_build_object(
    'salesman_name', coalesce(
        (SELECT max(salesman_name) FROM {{salesman_daily}}
         WHERE salesman_id = %(salesman)s AND date BETWEEN %(first)s AND %(last)s),
        (SELECT salesman_name FROM {{salesman_daily}} WHERE salesman_id = %(salesman)s ORDER BY date DESC LIMIT 1)),
    'total_sales', coalesce(sum(total_sales), 0.0000)::text,
    'deals_closed', coalesce(sum(deals_closed), 0),
    'avg_deal_size', ({exact_avg("sum(total_sales)", "sum(deals_closed)")})::text,
    'cities_covered', count(*))
FROM (SELECT sum(total_sales) AS total_sales, sum(deals_closed) AS deals_closed
      FROM {{salesman_city_daily}}
      WHERE salesman_id = %(salesman)s AND date BETWEEN %(first)s AND %(last)s AND {{only}}
      GROUP BY country, region, city) c
"""
