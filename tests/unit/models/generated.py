"""Random rows of the shipped tables: few keys, so that they meet, and every kind of defect."""

import random
from datetime import UTC, datetime, timedelta

from tests.unit.models.relations import Row

_PRICES = ["10", "9.99", "0.33335", "-4.5", "1e2", "abc", "", None, "12.00005", "99999999999999.9999", "NaN"]
_TIMES = ["2024-03-01", "2024-03-01T23:30:00Z", "2024-03-02 00:10", "2024-02-30", "", None, "2024-03-01T20:00:00-05:00"]
_PARTNER_PRICES = ["10", "9,99", "1.234,5", "-4,5", "0,33335", "1.23", "1,2,3", "abc", "", None]
_PARTNER_TIMES = ["01.03.2024", "01.03.2024 23:30", "02.03.2024 00:10:59", "30.02.2024", "2024-03-01", "", None]
_CITIES = ["Rome", "Milan", "Milan", "", None, " Rome ", "Åre"]


def rows(seed: int) -> dict[str, list[Row]]:
    r = random.Random(seed)
    people = [f"S{i}" for i in range(4)]
    customers: list[Row] = [(f"C{i}", f"n{i}", _country(r), r.choice(["", "Lazio", None]), r.choice(_CITIES)) for i in range(4)]
    salesmen: list[Row] = [(p, r.choice(["Ann", "Bob", None, "Émile", "zoe"])) for p in people[:3]]
    orders: list[Row] = [_order(r, i, people) for i in range(25)]
    items: list[Row] = [(f"O{r.randrange(27)}", n, "cat", "p", r.choice([1, 2, 3, 0, None]), _price(r)) for n in range(40)]
    sales: list[Row] = [_sale(r, i, people) for i in range(40)]
    return {
        "shop.customers": customers,
        "shop.salesmen": salesmen,
        "shop.orders": orders,
        "shop.order_items": items,
        "branches.sales": sales,
        "partner.entries": [_entry(r, i, people) for i in range(40)],
    }


def _country(r: random.Random) -> str | None:
    return r.choice(["IT"] * 7 + ["SE", None])


def _price(r: random.Random) -> str | None:
    return r.choice(_PRICES[:3]) if r.random() < 0.9 else r.choice([p for p in _PRICES if p != "99999999999999.9999"])


def _order(r: random.Random, number: int, people: list[str]) -> Row:
    at = datetime(2024, 3, 1, 20, tzinfo=UTC) + timedelta(hours=r.randrange(8)) if r.random() < 0.95 else None
    customer, person = r.choice(["C0", "C1", "C2"] * 3 + ["C9", None]), r.choice([*people * 3, None])
    return (
        f"O{number}",
        customer,
        person,
        at,
        r.choice(["EUR"] * 8 + ["USD", None]),
        r.choice(["placed", "placed", "cancelled", None]),
    )


def _sale(r: random.Random, number: int, people: list[str]) -> Row:
    person, name = r.choice([*people * 3, "", None]), r.choice(["Ann", "Bo", None])
    money = r.choice(["EUR"] * 8 + [" EUR", "USD", "", None])
    time, city = r.choice(_TIMES[:3] * 3 + _TIMES), r.choice(["Rome", "Milan", *_CITIES])
    return (f"B{number}", time, _country(r), None, city, person, name, _price(r), money)


def _entry(r: random.Random, number: int, people: list[str]) -> Row:
    person, name = r.choice([*people * 3, "", None]), r.choice(["Ann", "Bo", None])
    money = r.choice(["EUR"] * 8 + [" EUR", "USD", "", None])
    time, city = r.choice(_PARTNER_TIMES[:3] * 3 + _PARTNER_TIMES), r.choice(["Rome", "Milan", *_CITIES])
    amount = r.choice(_PARTNER_PRICES[:5] * 3 + _PARTNER_PRICES)
    return (f"P{number}", time, _country(r), None, city, person, name, amount, money)
