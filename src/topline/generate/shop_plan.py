"""Events of the shop: transactions on its four tables, and what each order counts for from then on."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random

from topline.generate.events import Event, Kind, Op
from topline.generate.moments import Moments
from topline.generate.options import Plan
from topline.generate.shop_book import Change, Item, OrderBook, put_customer, put_salesman, together
from topline.generate.shop_faults import ShopFaults
from topline.generate.world import World, full_name

_TIE_PRICE = Decimal("250.00")


class ShopPlanner:
    """Plans one event at a time."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._bulk, self._world = plan.bulk, world
        self._random = Random(f"shop {plan.seed} {plan.run}")
        self._at = 0.0
        self._moments = Moments(plan.start, plan.zone, plan.days, self._random)
        self._book = OrderBook(plan, world, self._random)
        self._faults = ShopFaults(self._book, world.places)
        self._actions: dict[Kind, Callable[[], Change | None]] = {
            Kind.NEW: self._new,
            Kind.AMOUNT: self._amount,
            Kind.CITY: self._city,
            Kind.SALESMAN: self._salesman,
            Kind.CANCELLED: self._cancel,
            Kind.DELETED: self._delete,
            Kind.LATE: self._late,
            Kind.TIED: self._tie,
            Kind.REDELIVERED: self._redeliver,
            Kind.BROKEN: lambda: self._faults.make(self._moments.now(self._at)),
            Kind.REPAIRED: self._faults.repair,
            Kind.DIMENSION: self._dimension,
        }

    @property
    def faults(self) -> int:
        """In how many ways an order may be broken; they come in turn."""
        return len(self._faults)

    def masters(self) -> Event:
        """The shop's customers and salesmen, as they stand at the start."""
        customers = (put_customer(customer, "insert") for customer in self._world.customers.items)
        salesmen = (put_salesman(person, "insert") for person in self._world.salesmen.items)
        return _event(together(*customers, *salesmen), 0.0)

    def history(self) -> Event:
        """One sale of the days before the start."""
        order = self._book.order(self._moments.past() if self._random.random() < 0.8 else self._moments.today(0))
        self._book.keep(order)
        return _event(self._book.place(order), 0.0, Kind.NEW)

    def step(self, kind: Kind, at: float) -> Event | None:
        """The next event of that kind, or None where no order is there for it yet."""
        self._at = at
        change = self._actions[kind]()
        return None if change is None else _event(change, at, kind)

    def _new(self) -> Change:
        order = self._book.order(self._moments.past() if self._bulk else self._moments.now(self._at))
        self._book.keep(order)
        return self._book.place(order)

    def _late(self) -> Change:
        order = self._book.order(self._moments.past())
        self._book.keep(order)
        return self._book.place(order)

    def _tie(self) -> Change:
        """Two salesmen, two cities, one total, on a day that has nothing else."""
        number = 2 * self._book.turn("tie") % 20
        moment = self._moments.noon(self._moments.tie_day(number))
        customers = self._world.customers.items[number:]
        other = next(customer for customer in customers if customer.place != customers[0].place)
        changes = []
        for salesman, customer in zip(self._book.salesmen[number : number + 2], (customers[0], other), strict=True):
            order = self._book.order(moment, [Item(self._world.products.items[0], 1, _TIE_PRICE)])
            order.salesman, order.customer = salesman.id, customer.id
            changes.append(self._book.place(order))
        return together(*changes)

    def _amount(self) -> Change | None:
        """An item's quantity or price changes, or an item is added or taken away."""
        order = self._book.pick()
        if order is None:
            return None
        way = self._book.turn("amount") % 4
        if way == 2:
            order.items.append(self._book.item())
            return self._book.add_items(order, [len(order.items) - 1])
        if way == 3 and len(order.items) > 1:
            order.items.pop()
            return [Op("delete", "order_items", (order.id, len(order.items) + 1))], [self._book.fact(order)]
        if way == 0:
            order.items[0].quantity += 1
        else:
            order.items[0].price += Decimal(self._random.randint(1, 2_000)) / 100
        return self._book.correct_item(order, 0)

    def _city(self) -> Change | None:
        """The order was booked on the wrong customer: the right one sits in another city."""
        order = self._book.pick()
        if order is None:
            return None
        wrong = self._book.customers[order.customer].place
        while (customer := self._book.customer()).place == wrong:
            pass
        order.customer = customer.id
        return self._book.update(order)

    def _salesman(self) -> Change | None:
        order = self._book.pick()
        if order is None:
            return None
        while (salesman := self._book.salesman()) == order.salesman:
            pass
        order.salesman = salesman
        return self._book.update(order)

    def _cancel(self) -> Change | None:
        order = self._book.take()
        if order is None:
            return None
        order.status = "cancelled"
        return self._book.update(order)

    def _delete(self) -> Change | None:
        order = self._book.take()
        return None if order is None else self._book.delete(order)

    def _redeliver(self) -> Change | None:
        """Nothing really changes: an UPDATE to the same values, or an order deleted and inserted again."""
        order = self._book.pick()
        if order is None:
            return None
        if self._book.turn("redeliver") % 2 == 0:
            return self._book.update(order)
        return together(self._book.delete(order), self._book.place(order))

    def _dimension(self) -> Change:
        """A customer moves to another city, or a salesman is renamed: all their sales follow."""
        if self._book.turn("dimension") % 2 == 0:
            customer = self._book.customer()
            moved = customer._replace(place=self._world.places.other(self._random, customer.place))
            self._book.customers[moved.id] = moved
            return put_customer(moved, "update")
        salesman = self._book.salesman()
        index = next(i for i, person in enumerate(self._book.salesmen) if person.id == salesman)
        self._book.salesmen[index] = self._book.salesmen[index]._replace(name=full_name(self._random))
        return put_salesman(self._book.salesmen[index], "update")


def _event(change: Change, at: float, *kinds: Kind) -> Event:
    return Event("shop", at, Counter(kinds), tuple(change[0]), facts=tuple(change[1]))
