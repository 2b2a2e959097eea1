"""Random sales, the models of them as they are published, and every answer recomputed in plain Python."""

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.integration.api.conftest import BY_CITY, CITIES, DAILY, REJECTED, SALESMEN, model_rows
from tests.integration.results.support import NOON
from topline.results import Epoch
from topline.results.questions import Place, Places

FIRST = dt.date(2026, 11, 1)
DAYS = 12
PLACES: tuple[tuple[str, str, str], ...] = (
    ("IT", "Lazio", "Roma"),
    ("IT", "", "Roma"),
    ("IT", "Puglia", "Bari"),
    ("IT", "Puglia", "bari"),
    ("FR", "", "Étretat"),
    ("FR", "Bretagne", "Brest"),
    ("SI", "", "Žalec"),
)
NAMES = ("Ann", "ann", "Zoé", "Élan", "")


@dataclass(frozen=True)
class Sale:
    day: dt.date
    place: tuple[str, str, str]
    salesman: str
    name: str
    amount: Decimal


def drawn(seed: int, count: int = 400) -> list[Sale]:
    """Few places and amounts, so that there are many ties."""
    dice = random.Random(seed)
    return [
        Sale(
            FIRST + dt.timedelta(days=dice.randrange(DAYS)),
            dice.choice(PLACES),
            f"{dice.choice('SsÉ')}{dice.randrange(12)}",
            dice.choice(NAMES),
            Decimal(dice.choice((10000, 10000, 3333, 1, -20000, 99999999))) / 10000,
        )
        for _ in range(count)
    ]


def exact(total: Decimal, count: int) -> Decimal:
    """Half away from zero, to 4 decimals."""
    units = abs(int(total * 10000))
    whole = (2 * units + count) // (2 * count)
    return (Decimal(whole) / 10000 * (1 if total >= 0 else -1)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def seen(sales: Iterable[Sale], places: Places | None, first: dt.date, last: dt.date) -> list[Sale]:
    return [s for s in sales if first <= s.day <= last and (places is None or any(_in(s.place, p) for p in places))]


def _in(place: tuple[str, str, str], rule: Place) -> bool:
    return all(wanted is None or wanted == part for part, wanted in zip(place, rule, strict=True))


def top_cities(sales: Iterable[Sale]) -> list[tuple[Any, ...]]:
    """(rank, country, region, city, total, count, average, maximum), best first."""
    groups: dict[tuple[str, str, str], list[Decimal]] = defaultdict(list)
    for sale in sales:
        groups[sale.place].append(sale.amount)
    rows = [(*place, sum(a, Decimal(0)), len(a), exact(sum(a, Decimal(0)), len(a)), max(a)) for place, a in groups.items()]
    rows.sort(key=lambda row: (-row[3], *(part.encode() for part in row[:3])))
    return [(rank, *row) for rank, row in enumerate(rows, 1)]


def top_salesmen(sales: Iterable[Sale], names: Iterable[Sale]) -> list[tuple[Any, ...]]:
    """(rank, id, name, total, deals, average, cities), best first; the name is the greatest of `names`."""
    groups: dict[str, list[Sale]] = defaultdict(list)
    for sale in sales:
        groups[sale.salesman].append(sale)
    greatest: dict[str, str] = {}
    for sale in names:
        greatest[sale.salesman] = max(greatest.get(sale.salesman, ""), sale.name, key=str.encode)
    rows = []
    for number, own in groups.items():
        total = sum((sale.amount for sale in own), Decimal(0))
        cities = len({sale.place for sale in own})
        rows.append((number, greatest[number], total, len(own), exact(total, len(own)), cities))
    rows.sort(key=lambda row: (-row[2], row[0].encode()))
    return [(rank, *row) for rank, row in enumerate(rows, 1)]


def epoch(sales: list[Sale], number: int = 7) -> Epoch:
    """All models of these sales, as the engine would publish them."""
    days = sorted({sale.day for sale in sales})
    cities, men, ranked, by_city = [], [], [], []
    for day in days:
        own = seen(sales, None, day, day)
        cities += [(day, *row[1:]) for row in top_cities(own)]
        for rank, *row in top_salesmen(own, own):
            men.append((day, *row))
            ranked.append((day, *row, rank))
        for place in {sale.place for sale in own}:
            there = [sale for sale in own if sale.place == place]
            by_city += [(day, row[1], *place, row[3], row[4]) for row in top_salesmen(there, there)]
    models = {
        "top_sales_by_city": model_rows(CITIES, cities),
        "top_salesmen": model_rows(SALESMEN, [row for row in ranked if row[-1] <= 100]),
        "salesman_daily": model_rows(DAILY, men),
        "salesman_city_daily": model_rows(BY_CITY, by_city),
        "rejected_sales": model_rows(REJECTED, []),
    }
    return Epoch(number, models, {"shop": NOON, "branches": NOON})
