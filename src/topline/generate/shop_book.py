"""The shop's orders as the planner knows them: rows to write, and what each order counts for."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Literal

from topline.generate.events import Fact, Op
from topline.generate.options import Plan
from topline.generate.world import Customer, Person, Product, Skewed, World, between

_UNIT = Decimal("0.0001")
_KEPT = 4_000  # recent orders that may still be corrected
_QUANTITIES = (1, 1, 1, 2, 2, 3, 5, 12)
Change = tuple[list[Op], list[Fact]]
Verb = Literal["insert", "update"]


@dataclass(slots=True)
class Item:
    product: Product
    quantity: int
    price: Decimal


@dataclass(slots=True)
class Order:
    id: str
    customer: str
    salesman: str
    at: datetime | None
    currency: str
    items: list[Item] = field(default_factory=list)
    status: str = "placed"

    def row(self) -> tuple[object, ...]:
        return (self.id, self.customer, self.salesman, self.at, self.currency, self.status)

    def item_row(self, index: int) -> tuple[object, ...]:
        item = self.items[index]
        return (self.id, index + 1, item.product.category, item.product.name, item.quantity, item.price)

    def item_rows(self) -> Iterator[tuple[object, ...]]:
        return (self.item_row(index) for index in range(len(self.items)))

    @property
    def amount(self) -> Decimal | None:
        """What the order sums up to, each price rounded to 4 decimals first; None where that cannot be said."""
        if not self.items or any(item.price.is_nan() for item in self.items):
            return None
        return sum((item.quantity * item.price.quantize(_UNIT, ROUND_HALF_UP) for item in self.items), Decimal(0))


class OrderBook:
    """The shop's own state: makes orders, keeps the recent ones, and turns what happens to them into rows and facts.

    Only recent orders are kept, so that a long stream needs no more memory than a short one.
    """

    def __init__(self, plan: Plan, world: World, random: Random) -> None:
        self.random, self.currency = random, plan.currency
        self.salesmen = list(world.salesmen.items)
        self.customers = {customer.id: customer for customer in world.customers.items}
        self._known = Skewed([customer.id for customer in world.customers.items], 0.9)
        self._sellers = Skewed([person.id for person in self.salesmen], 0.8)
        self._products = world.products
        self.prefix = f"S{plan.run}"
        self._turn: Counter[str] = Counter()
        self._recent: list[Order] = []

    def turn(self, what: str) -> int:
        """0, 1, 2, ... for each name: to take turns among the ways of one kind."""
        self._turn[what] += 1
        return self._turn[what] - 1

    def customer(self) -> Customer:
        return self.customers[self._known.draw(self.random)]

    def salesman(self) -> str:
        return self._sellers.draw(self.random)

    def order(self, moment: datetime, items: list[Item] | None = None) -> Order:
        order_id = f"{self.prefix}-{self.turn('order') + 1:07d}"
        return Order(order_id, self.customer().id, self.salesman(), moment, self.currency, items or self._items())

    def item(self, product: Product | None = None) -> Item:
        product = product or self._products.draw(self.random)
        return Item(product, _QUANTITIES[between(self.random, 0, len(_QUANTITIES) - 1)], self._price(product))

    def _items(self) -> list[Item]:
        return [self.item() for _ in range(1 + (self.random.random() < 0.45) + (self.random.random() < 0.2))]

    def _price(self, product: Product) -> Decimal:
        """A price near the list's; some with more than four decimals, some of those just between two units."""
        price = product.price * between(self.random, 85, 120) / 100
        luck = self.random.random()
        return price + Decimal("0.00005") if luck < 0.02 else price + Decimal("0.000449") if luck < 0.04 else price

    def keep(self, order: Order) -> None:
        """From now on the order may be corrected."""
        if len(self._recent) < _KEPT:
            self._recent.append(order)
        else:
            self._recent[self.random.randrange(_KEPT)] = order

    def pick(self) -> Order | None:
        return self.random.choice(self._recent) if self._recent else None

    def take(self) -> Order | None:
        """An order that nothing more will happen to."""
        return self._recent.pop(self.random.randrange(len(self._recent))) if self._recent else None

    def place(self, order: Order) -> Change:
        ops = [Op("insert", "orders", order.row()), *(Op("insert", "order_items", row) for row in order.item_rows())]
        return ops, [self.fact(order)]

    def update(self, order: Order) -> Change:
        return [Op("update", "orders", order.row())], [self.fact(order)]

    def correct_item(self, order: Order, index: int) -> Change:
        return [Op("update", "order_items", order.item_row(index))], [self.fact(order)]

    def add_items(self, order: Order, indexes: Iterable[int]) -> Change:
        return [Op("insert", "order_items", order.item_row(index)) for index in indexes], [self.fact(order)]

    def delete(self, order: Order) -> Change:
        items = [Op("delete", "order_items", row[:2]) for row in order.item_rows()]
        return [*items, Op("delete", "orders", (order.id,))], [Fact("orders", order.id, None)]

    def fact(self, order: Order) -> Fact:
        row = (order.customer, order.salesman, order.at, order.amount, self._fault(order))
        return Fact("orders", order.id, row)

    def _fault(self, order: Order) -> str | None:
        if order.status == "cancelled":
            return "cancelled"
        if order.currency != self.currency:
            return "currency"
        return "time" if order.at is None else "amount" if order.amount is None else None


def put_customer(customer: Customer, verb: Verb, null: bool = False) -> Change:
    """The customer's row. A place without a region has NULL there, and with `null` so has a missing city."""
    country, region, city = customer.place
    row = (customer.id, customer.name, country, region or None, None if null and not city else city)
    return [Op(verb, "customers", row)], [Fact("customers", customer.id, (country, region, city))]


def put_salesman(person: Person, verb: Verb) -> Change:
    return [Op(verb, "salesmen", tuple(person))], [Fact("salesmen", person.id, (person.name,))]


def together(*changes: Change) -> Change:
    """The changes as one transaction."""
    return [op for ops, _ in changes for op in ops], [fact for _, facts in changes for fact in facts]
