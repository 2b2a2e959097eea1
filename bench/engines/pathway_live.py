"""Pathway: incremental, upserts by primary key, a commit after each batch; two workers."""

import time
from importlib import import_module
from typing import Any

from bench.engines.common import CITIES, MEN, batches, first, rows, table, told

pw: Any = import_module("pathway")


class Event(pw.Schema):  # type: ignore[misc]
    sale_id: str = pw.column_definition(primary_key=True)
    date: str
    country: str
    region: str
    city: str
    salesman_id: str
    salesman_name: str
    cents: int


NAMES = list(Event.column_names())
BEGAN: list[tuple[float, float]] = []


class Events(pw.io.python.ConnectorSubject):  # type: ignore[misc]
    def run(self) -> None:
        live: dict[str, dict[str, Any]] = {}
        self._feed(first(), live)
        BEGAN.append((time.perf_counter(), time.process_time()))
        for batch in batches():
            self._feed(batch, live)

    def _feed(self, events: Any, live: dict[str, dict[str, Any]]) -> None:
        for row in rows(events):
            values = dict(zip(NAMES, (row[0], str(row[1]), *row[2:8]), strict=True))
            if row[8]:
                self._remove_inner(None, live.pop(row[0]))
            else:
                live[row[0]] = values
                self.next(**values)
        self.commit()


def collected(of: Any, names: tuple[str, ...]) -> dict[Any, tuple[Any, ...]]:
    found: dict[Any, tuple[Any, ...]] = {}

    def change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:  # noqa: ARG001 - Pathway's names
        if is_addition:
            found[key] = tuple(row[name] for name in names)
        elif found.get(key) == tuple(row[name] for name in names):
            del found[key]

    pw.io.subscribe(of, on_change=change)
    return found


def main() -> None:
    sales = pw.io.python.read(Events(session_type="upsert"), schema=Event, autocommit_duration_ms=None)
    place = (sales.date, sales.country, sales.region, sales.city)
    cents = sales.cents
    by_city = sales.groupby(*place).reduce(
        *place, total=pw.reducers.sum(cents), sales=pw.reducers.count(), greatest=pw.reducers.max(cents)
    )
    stops = sales.groupby(*place, sales.salesman_id).reduce(
        sales.date,
        sales.salesman_id,
        name=pw.reducers.max(sales.salesman_name),
        total=pw.reducers.sum(cents),
        n=pw.reducers.count(),
    )
    by_man = stops.groupby(stops.date, stops.salesman_id).reduce(
        stops.date,
        stops.salesman_id,
        salesman_name=pw.reducers.max(stops.name),
        total=pw.reducers.sum(stops.total),
        sales=pw.reducers.sum(stops.n),
        cities=pw.reducers.count(),
    )
    cities, men = collected(by_city, CITIES), collected(by_man, MEN)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    seconds, cpu = time.perf_counter() - BEGAN[0][0], time.process_time() - BEGAN[0][1]
    told(table(CITIES, cities.values()), table(MEN, men.values()), seconds, cpu)


main()
