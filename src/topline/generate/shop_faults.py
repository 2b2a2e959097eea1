"""Orders of the shop that break a rule, each in its own way, and what mends them later."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from topline.generate.shop_book import Change, Order, OrderBook, put_customer, together
from topline.generate.world import Customer, Place, Skewed, shop_name

_KEPT = 500  # broken orders that may still be mended


class ShopFaults:
    """Breaks new orders, the ways taking turns, and mends them at random."""

    def __init__(self, book: OrderBook, places: Skewed[Place]) -> None:
        self._book, self._places = book, places
        self._broken: list[tuple[Order, Callable[[], Change]]] = []
        self._ways = (
            self._nan_price,
            self._foreign_currency,
            self._missing_city,
            self._missing_customer,
            self._missing_items,
            self._missing_salesman,
            self._missing_time,
        )

    def __len__(self) -> int:
        """How many ways there are."""
        return len(self._ways)

    def make(self, moment: datetime) -> Change:
        order = self._book.order(moment)
        return self._ways[self._book.turn("fault") % len(self._ways)](order)

    def repair(self) -> Change | None:
        if not self._broken:
            return None
        order, mend = self._broken.pop(self._book.random.randrange(len(self._broken)))
        change = mend()
        self._book.keep(order)
        return change

    def _place(self, order: Order, mend: Callable[[], Change]) -> Change:
        if len(self._broken) < _KEPT:
            self._broken.append((order, mend))
        return self._book.place(order)

    def _nan_price(self, order: Order) -> Change:
        price, order.items[-1].price = order.items[-1].price, Decimal("NaN")

        def mend() -> Change:
            order.items[-1].price = price
            return self._book.correct_item(order, len(order.items) - 1)

        return self._place(order, mend)

    def _foreign_currency(self, order: Order) -> Change:
        order.currency = "USD" if self._book.currency != "USD" else "EUR"

        def mend() -> Change:
            order.currency = self._book.currency
            return self._book.update(order)

        return self._place(order, mend)

    def _missing_city(self, order: Order) -> Change:
        """A new customer without a city: NULL or ''."""
        customer = self._stranger()
        order.customer = customer.id
        blank = customer._replace(place=customer.place._replace(city=""))
        change = put_customer(blank, "insert", null=self._book.turn("blank") % 2 == 0)
        return together(change, self._place(order, lambda: put_customer(customer, "update")))

    def _missing_customer(self, order: Order) -> Change:
        """The order comes before its customer."""
        customer = self._stranger()
        order.customer = customer.id
        return self._place(order, lambda: put_customer(customer, "insert"))

    def _missing_items(self, order: Order) -> Change:
        items, order.items = order.items, []

        def mend() -> Change:
            order.items = items
            return self._book.add_items(order, range(len(items)))

        return self._place(order, mend)

    def _missing_salesman(self, order: Order) -> Change:
        salesman, order.salesman = order.salesman, f"{order.salesman}-unknown"

        def mend() -> Change:
            order.salesman = salesman
            return self._book.update(order)

        return self._place(order, mend)

    def _missing_time(self, order: Order) -> Change:
        moment, order.at = order.at, None

        def mend() -> Change:
            order.at = moment
            return self._book.update(order)

        return self._place(order, mend)

    def _stranger(self) -> Customer:
        """A customer that the company did not know until now; she is drawn for no other order."""
        name, place = shop_name(self._book.random), self._places.draw(self._book.random)
        customer = Customer(f"{self._book.prefix}-X{self._book.turn('stranger') + 1:04d}", name, place)
        self._book.customers[customer.id] = customer
        return customer
