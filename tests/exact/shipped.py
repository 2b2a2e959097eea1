"""The shipped projects under random histories: values for their tables, and the rankings once more, in plain Python."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.exact.engines import Rows
from tests.exact.tables import Row, TableSpec, Values
from topline.models import load
from topline.models.plan import ProjectPlan

ROOT = Path(__file__).parents[2]
_DAY = {  # a text or an instant, and the day that it is in Rome
    "2024-03-01": "2024-03-01", "2024-03-01T23:30:00Z": "2024-03-02", "2024-03-02 00:10": "2024-03-02", "2024-02-30": None,
    "2024-03-01T20:00:00-05:00": "2024-03-02", "": None, "1899-12-31": None, None: None,
    "01.03.2024": "2024-03-01", "01.03.2024 23:30": "2024-03-01", "02.03.2024 00:10:59": "2024-03-02", "30.02.2024": None,
    datetime(2024, 3, 1, 22, 59, 59, tzinfo=UTC): "2024-03-01", datetime(2024, 3, 1, 23, tzinfo=UTC): "2024-03-02",
    datetime(2024, 3, 31, 0, 30, tzinfo=UTC): "2024-03-31",
}  # fmt: skip
_UNITS = {  # a text, and the money that it is, in units of 10^-4
    "10": 100_000, "9.99": 99_900, "0.33335": 3_334, "-0.33335": -3_334, "-4.5": -45_000, "1e2": 1_000_000, "abc": None,
    "": None, None: None, "NaN": None, "999999999999.9999": 9_999_999_999_999_999, "1e15": None,
    "9,99": 99_900, "1.234,5": 12_345_000, "-4,5": -45_000, "0,33335": 3_334, "1.23": None,
}  # fmt: skip
_MEN = ["S1", "S2", "s1", "é", "S10"]
_MANY = [*_MEN * 20, *(f"M{number}" for number in range(150))]
_NAMES = ["Ann", "Bob", "ann", "Émile", "", None]
_COUNTRIES = ["IT"] * 6 + ["SE", None]
_CITIES = ["Rome", "Milan", "Milan", " Rome ", "Åre", "", None]
_REGIONS = ["", "Lazio", None]
_CURRENCIES = ["EUR"] * 8 + [" EUR", "USD", "", None]
_ORDERS = [f"O{number}" for number in range(30)]
_PRICES = ["10", "10", "9.99", "0.33335", "-0.33335", "-4.5", "1e2"] * 4 + ["abc", "", None, "NaN"]

SALES: Mapping[str, Values] = {
    "shop.customers": {
        "customer_id": ["C0", "C1", "C2"], "customer_name": ["n"], "country": _COUNTRIES, "region": _REGIONS, "city": _CITIES,
    },
    "shop.salesmen": {"salesman_id": _MEN, "salesman_name": _NAMES},
    "shop.orders": {
        "order_id": _ORDERS, "customer_id": ["C0", "C1", "C2", "C9", "", None], "salesman_id": [*_MEN, "gone", None],
        "ordered_at": [key for key in _DAY if isinstance(key, datetime)] * 3 + [None],
        "currency": _CURRENCIES, "status": ["placed", "placed", "cancelled", None],
    },
    "shop.order_items": {
        "order_id": [*_ORDERS, "O99"], "item_no": [1, 2], "category": ["a"], "product": ["b"],
        "quantity": [1, 1, 2, -3, 0, None],
        "unit_price": [*_PRICES, "999999999999.9999", "1e15"],  # their sums overflow nowhere: that would halt the models
    },
    "branches.sales": {
        "sale_id": [f"B{number}" for number in range(600)],
        "sold_at": ["2024-03-01"] * 20 + [key for key in _DAY if isinstance(key, str) and "." not in key] + [None],
        "country": _COUNTRIES, "region": _REGIONS, "city": _CITIES, "salesman_id": [*_MANY, "", None],
        "salesman_name": _NAMES, "amount": _PRICES, "currency": _CURRENCIES,
    },
    "partner.entries": {
        "entry_no": [f"P{number}" for number in range(30)],
        "sold_on": [key for key in _DAY if isinstance(key, str) and "-" not in key] + [None],
        "country": _COUNTRIES, "district": _REGIONS, "town": _CITIES, "agent_no": [*_MEN, "", None], "agent_name": _NAMES,
        "amount": ["10", "9,99", "1.234,5", "-4,5", "0,33335"] * 3 + ["1.23", "abc", "", None], "currency": _CURRENCIES,
    },
}  # fmt: skip
TPCH: Mapping[str, Values] = {
    "tpch.region": {"r_regionkey": [0, 1, 2], "r_name": ["EUROPE   ", "ASIA", None]},
    "tpch.nation": {"n_nationkey": [0, 1, 2, 3], "n_name": ["ITALY  ", "JAPAN", "ÅLAND", "", None],
        "n_regionkey": [0, 1, 2, 9, None]},
    "tpch.customer": {"c_custkey": [*range(6)], "c_nationkey": [*[0, 1, 2] * 3, 3, 9, None]},
    "tpch.orders": {
        "o_orderkey": [*range(30)], "o_custkey": [*[*range(6)] * 2, 6, None],
        "o_orderdate": [datetime(1995, 1, 1).date(), datetime(1995, 12, 31).date(), datetime(1996, 1, 1).date(), None],
        "o_clerk": ["Clerk#1        ", "Clerk#2", "Clerk#10", "clerk#1", "", None],
    },
    "tpch.lineitem": {
        "l_orderkey": [*range(31)], "l_linenumber": [1, 2],
        "l_extendedprice": [*["10.00", "9.99", "0.05", "1000.01"] * 4, "x", None],
        "l_discount": [*["0.00", "0.05", "0.10", "0.333"] * 4, "", None],
    },
}  # fmt: skip


def specs(plan: ProjectPlan, values: Mapping[str, Values]) -> dict[str, TableSpec]:
    """The plan's tables with their values; the branches' are written by two files."""
    files = ("one.csv", "two.csv")
    return {
        name: TableSpec(schema, values[name], files if name.startswith("branches") else ("",))
        for name, schema in plan.tables.items()
    }


def sales_plan() -> ProjectPlan:
    return load(ROOT / "sales", name="sales", time_zone="Europe/Rome", currency="EUR", vars={})


def tpch_plan(places: int) -> ProjectPlan:
    """`places`: how many salesmen of a year are ranked."""
    return load(ROOT / "examples" / "tpch", name="tpch", time_zone="UTC", currency="USD", vars={"places": places})


@dataclass(frozen=True)
class Sale:
    date: str
    place: tuple[str, str, str]
    man: str
    name: str
    units: int


def rankings(tables: Mapping[str, Sequence[Row]]) -> dict[str, Rows]:
    """The four marts of `sales/`, from the tables' rows, as a person would count them."""
    sales = [*_of_shop(tables), *_of_lists(tables)]
    by_city, by_man, by_both = (defaultdict[tuple[str, ...], list[Sale]](list) for _ in range(3))
    for sale in sales:
        by_city[sale.date, *sale.place].append(sale)
        by_man[sale.date, sale.man].append(sale)
        by_both[sale.date, sale.man, *sale.place].append(sale)
    daily = [_of_man(key, group) for key, group in by_man.items()]
    return {
        "top_sales_by_city": Counter((*key, *_sums(group), max(s.units for s in group)) for key, group in by_city.items()),
        "salesman_daily": Counter(daily),
        "salesman_city_daily": Counter((*key, *_sums(group)[:2]) for key, group in by_both.items()),
        "top_salesmen": Counter(_ranked(daily)),
    }


def _sums(sales: Sequence[Sale]) -> tuple[int, int, int]:
    """Total, count, and their quotient rounded half away from zero."""
    total, count = sum(sale.units for sale in sales), len(sales)
    quotient = (2 * abs(total) + count) // (2 * count)
    return total, count, -quotient if total < 0 else quotient


def _of_man(key: Sequence[str], sales: Sequence[Sale]) -> tuple[str, str, str, int, int, int, int]:
    name = max((sale.name for sale in sales), key=str.encode)
    return (key[0], key[1], name, *_sums(sales), len({sale.place for sale in sales}))


def _ranked(daily: Sequence[tuple[str, str, str, int, int, int, int]]) -> Iterator[Row]:
    for date in {row[0] for row in daily}:
        best = sorted((row for row in daily if row[0] == date), key=lambda row: (-row[3], row[1].encode()))
        yield from ((*row, rank) for rank, row in enumerate(best[:100], 1))


def _text(value: object) -> str:
    return str(value).strip(" ") if value is not None else ""


def _sale(
    date: object, place: Sequence[object], man: tuple[object, object], units: int | None, currency: object
) -> Iterator[Sale]:
    day, (country, region, city), (salesman, name) = _DAY[date], map(_text, place), map(_text, man)  # type: ignore[index]
    if day is None or not country or not city or not salesman or units is None or _text(currency) != "EUR":
        return
    yield Sale(day, (country, region, city), salesman, name, units)


def _of_lists(tables: Mapping[str, Sequence[Row]]) -> Iterator[Sale]:
    """A line of a branch and an entry of the partner have the same columns."""
    for row in [*tables["branches.sales"], *tables["partner.entries"]]:
        _, at, country, region, city, man, name, amount, currency = row
        yield from _sale(at, (country, region, city), (man, name), _UNITS[amount], currency)  # type: ignore[index]


def _of_shop(tables: Mapping[str, Sequence[Row]]) -> Iterator[Sale]:
    customers = {row[0]: row[2:5] for row in tables["shop.customers"]}
    men = {row[0]: row[1] for row in tables["shop.salesmen"]}
    lines = defaultdict(list)
    for order, _, _, _, quantity, price in tables["shop.order_items"]:
        units = _UNITS[price]  # type: ignore[index]
        whole = None if units is None or quantity is None else units * int(str(quantity))
        lines[order].append(None if whole is None or abs(whole) >= 10**18 else whole)
    for order, customer, man, at, currency, status in tables["shop.orders"]:
        amounts = lines.get(order, [None])
        known = customer in customers and man in men
        if status != "cancelled" and known and None not in amounts:
            total = sum(amount for amount in amounts if amount is not None)
            yield from _sale(at, customers[customer], (man, men[man]), total, currency)
