"""Plain dictionaries: what the fold costs without any engine."""

from collections import defaultdict
from typing import Any

from bench.engines.common import CITIES, MEN, batches, first, measured, rows, table, told
from bench.engines.folding import CityDay, ManDay, changes

SALES: dict[str, Any] = {}
PLACES: defaultdict[Any, CityDay] = defaultdict(CityDay)
PEOPLE: defaultdict[Any, ManDay] = defaultdict(ManDay)


def take(events: Any) -> None:
    for new in rows(events):
        kept, moved = changes(SALES.get(new[0]), new)
        for row, weight in moved:
            PLACES[row[1:5]].change(row[7], weight)
            PEOPLE[row[1], row[5]].change(row, weight)
        if kept is None:
            SALES.pop(new[0], None)
        else:
            SALES[new[0]] = kept


def main() -> None:
    take(first())

    def work() -> None:
        for batch in batches():
            take(batch)

    seconds, cpu = measured(work)
    cities = [(*group, s.total, s.sales, s.greatest) for group, s in PLACES.items() if s.sales]
    men = [(*group, max(s.names), s.total, s.sales, len(s.cities)) for group, s in PEOPLE.items() if s.sales]
    told(table(CITIES, cities), table(MEN, men), seconds, cpu)


main()
