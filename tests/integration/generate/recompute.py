"""What the shop's tables, the branches' files and the partner's entries count for, read from scratch by plain Python."""

import csv
import sqlite3
from collections import defaultdict
from contextlib import closing, suppress
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psycopg

from topline.embedded.partner import Entry

UNIT = Decimal("0.0001")


class Counted(NamedTuple):
    source: str
    sale_id: str
    business_date: date
    country: str
    region: str
    city: str
    salesman_id: str
    salesman_name: str
    amount: Decimal


def shop_sales(dsn: str, zone: ZoneInfo, currency: str) -> set[Counted]:
    """One a counting order; an order with a fault, or whose customer or salesman is missing, counts for nothing."""
    with psycopg.connect(dsn) as connection:
        customers = {row[0]: row[1:] for row in connection.execute("SELECT customer_id, country, region, city FROM customers")}
        names = {row[0]: row[1] for row in connection.execute("SELECT salesman_id, salesman_name FROM salesmen")}
        items: dict[str, list[Decimal]] = defaultdict(list)
        for order, quantity, price in connection.execute("SELECT order_id, quantity, unit_price FROM order_items"):
            items[order].append(price if price.is_nan() else quantity * price.quantize(UNIT, ROUND_HALF_UP))
        orders = connection.execute("SELECT * FROM orders").fetchall()
    found = set()
    for order, customer, salesman, at, money, status in orders:
        country, region, city = customers.get(customer, (None, None, None))
        prices = items[order]
        if status == "placed" and money == currency and at and city and salesman in names and prices:
            if any(price.is_nan() for price in prices):
                continue
            day = at.astimezone(zone).date()
            found.add(
                Counted(
                    "shop", order, day, country or "", region or "", city, salesman, names[salesman], sum(prices, Decimal(0))
                )
            )
    return found


def branch_sales(folder: Path, zone: ZoneInfo, currency: str) -> set[Counted]:
    """The rows of all files, read by modification time, the last one of a key holding."""
    return {sale for fields in read(folder).values() if (sale := counted(fields, zone, currency))}


def branch_rows(folder: Path) -> set[tuple[object, ...]]:
    """(source, sale_id) of every row that can be read."""
    return {("branches", sale_id) for sale_id in read(folder)}


def shop_orders(dsn: str) -> set[tuple[object, ...]]:
    """(source, sale_id) of every order that is not cancelled."""
    with psycopg.connect(dsn) as connection:
        return {("shop", row[0]) for row in connection.execute("SELECT order_id FROM orders WHERE status <> 'cancelled'")}


def read(folder: Path) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.csv"), key=lambda path: (path.stat().st_mtime_ns, str(path))):
        for line in path.read_bytes().splitlines()[1:]:
            fields = split(line)
            if fields is not None:
                rows[fields[0]] = fields
    return rows


def split(line: bytes) -> list[str] | None:
    """The nine fields of a row, or None for a dead letter."""
    try:
        fields = next(csv.reader([line.decode()]))
    except UnicodeDecodeError:
        return None
    return fields if len(fields) == 9 and fields[0] else None


def counted(fields: list[str], zone: ZoneInfo, currency: str) -> Counted | None:
    sale_id, sold_at, country, region, city, salesman, name, amount, money = fields
    day, value = business_date(sold_at, zone), decimal(amount)
    if not (city and salesman and money == currency and day) or value is None:
        return None
    return Counted("branches", sale_id, day, country, region, city, salesman, name, value)


def partner_sales(book: Path, currency: str) -> set[Counted]:
    """The active entries of the partner's book."""
    return {sale for entry in partner_entries(book) if (sale := partner_sale(entry, currency))}


def partner_rows(book: Path) -> set[tuple[object, ...]]:
    """(source, sale_id) of every active entry that has its number."""
    return {("partner", entry.entry_no) for entry in partner_entries(book) if entry.entry_no and entry.state == "A"}


def partner_entries(book: Path) -> list[Entry]:
    with closing(sqlite3.connect(book)) as connection:
        return [Entry(*row) for row in connection.execute("SELECT * FROM entries")]


def partner_sale(entry: Entry, currency: str) -> Counted | None:
    day, value = partner_date(entry.sold_on or ""), partner_decimal(entry.amount or "")
    if entry.state != "A" or not (entry.entry_no and (entry.town or "").strip() and entry.agent_no and day) or value is None:
        return None
    if entry.currency != currency:
        return None
    place = (entry.country or "", entry.district or "", entry.town or "")
    return Counted("partner", entry.entry_no, day, *place, entry.agent_no, entry.agent_name or "", value)


def partner_date(text: str) -> date | None:
    """21.11.2026, with or without a time: the partner's days are the company's."""
    for pattern in ("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S"):
        with suppress(ValueError):
            return datetime.strptime(text, pattern).date()
    return None


def partner_decimal(text: str) -> Decimal | None:
    """1.234,50 or 1234,50; a dot that parts no thousands is refused."""
    whole, _, decimals = text.partition(",")
    groups = whole.split(".")
    if len(groups) > 1 and not (1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])):
        return None
    return decimal(f"{''.join(groups)}.{decimals or 0}") if whole else None


def business_date(text: str, zone: ZoneInfo) -> date | None:
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(zone).date() if moment.tzinfo else moment.date()


def decimal(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value.quantize(UNIT, ROUND_HALF_UP) if value.is_finite() else None


def models(sales: set[Counted]) -> dict[str, set[tuple[object, ...]]]:
    """The four published models over these sales, as plain loops."""
    cities: dict[tuple[object, ...], list[Counted]] = defaultdict(list)
    people: dict[tuple[date, str], list[Counted]] = defaultdict(list)
    both: dict[tuple[object, ...], list[Counted]] = defaultdict(list)
    for sale in sales:
        place = (sale.country, sale.region, sale.city)
        cities[sale.business_date, *place].append(sale)
        people[sale.business_date, sale.salesman_id].append(sale)
        both[sale.business_date, sale.salesman_id, *place].append(sale)
    daily = {(*key, *person(group)) for key, group in people.items()}
    return {
        "top_sales_by_city": {
            (*key, total(group), len(group), average(group), max(sale.amount for sale in group))
            for key, group in cities.items()
        },
        "salesman_daily": daily,
        "top_salesmen": ranked(daily),
        "salesman_city_daily": {(*key, total(group), len(group)) for key, group in both.items()},
    }


def person(group: list[Counted]) -> tuple[object, ...]:
    name = max((sale.salesman_name for sale in group), key=str.encode)
    return (name, total(group), len(group), average(group), len({(sale.country, sale.region, sale.city) for sale in group}))


def ranked(daily: set[tuple[object, ...]]) -> set[tuple[object, ...]]:
    days: dict[object, list[tuple[object, ...]]] = defaultdict(list)
    for row in daily:
        days[row[0]].append(row)
    return {
        (*row, rank)
        for rows in days.values()
        for rank, row in enumerate(sorted(rows, key=lambda row: (-Decimal(str(row[3])), str(row[1]).encode())), 1)
        if rank <= 100
    }


def total(group: list[Counted]) -> Decimal:
    return sum((sale.amount for sale in group), Decimal(0))


def average(group: list[Counted]) -> Decimal:
    units, count = int(total(group) * 10_000), len(group)
    half_up = (2 * abs(units) + count) // (2 * count)
    return Decimal(half_up if units >= 0 else -half_up) / 10_000
