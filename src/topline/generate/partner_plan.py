"""Events of the partner: entries written into the partner's book, and what each deal counts for from then on."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from random import Random

from topline.generate.events import Event, Kind
from topline.generate.moments import Moments
from topline.generate.options import Plan
from topline.generate.partner_book import Deal, DealBook
from topline.generate.partner_faults import PartnerFaults
from topline.generate.world import Person, Place, World, full_name

_TIE = Decimal("250.00")
_BEHIND = 2.0  # seconds by which a late sale is noted in the past, as a transaction that took long would have it
_RESENT = 20  # entries that are sent again together
_REACH = 100  # entries that a dimension's correction changes at most


class PartnerPlanner:
    """Plans one event at a time."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._bulk, self._world = plan.bulk, world
        self._random = Random(f"partner {plan.seed} {plan.run}")
        self._at = 0.0
        self._moments = Moments(plan.start, plan.zone, plan.days, self._random)
        self._book = DealBook(plan, world, self._random)
        self._faults = PartnerFaults(self._book)
        self._actions: dict[Kind, Callable[[], Sequence[Deal]]] = {
            Kind.NEW: self._new,
            Kind.AMOUNT: self._amount,
            Kind.CITY: self._city,
            Kind.SALESMAN: self._salesman,
            Kind.CANCELLED: lambda: _some(self._book.cancel()),
            Kind.LATE: self._late,
            Kind.TIED: self._tie,
            Kind.REDELIVERED: self._redeliver,
            Kind.BROKEN: lambda: [self._faults.spoil(self._book.deal(self._moments.now(self._at)))],
            Kind.REPAIRED: self._repair,
            Kind.DIMENSION: self._dimension,
        }

    @property
    def faults(self) -> int:
        """In how many ways an entry may be broken; they come in turn."""
        return len(self._faults)

    def history(self) -> Event:
        """One sale of the days before the start."""
        earlier = self._random.random() < 0.8
        return self._event([self._kept(self._moments.past() if earlier else self._moments.today(0))], 0.0, Kind.NEW)

    def step(self, kind: Kind, at: float) -> Event | None:
        """Plan one event of that kind; None where no deal is there for it yet."""
        self._at = at
        deals = self._actions[kind]()
        return self._event(deals, at, kind) if deals else None

    def _event(self, deals: Sequence[Deal], at: float, kind: Kind) -> Event:
        """The deals as they stand now, noted at one moment."""
        noted = self._book.stamp(at, _BEHIND if kind is Kind.LATE and not self._bulk else 0.0)
        facts = tuple(self._book.fact(deal) for deal in deals)
        return Event("partner", at, Counter([kind]), entries=tuple(deal.entry(noted) for deal in deals), facts=facts)

    # New deals

    def _kept(self, moment: datetime) -> Deal:
        deal = self._book.deal(moment)
        self._book.keep(deal)
        return deal

    def _new(self) -> list[Deal]:
        if self._bulk:
            return [self._kept(self._moments.past())]
        earlier = self._random.random() < 0.3
        return [self._kept(self._moments.today(self._at) if earlier else self._moments.now(self._at))]

    def _late(self) -> list[Deal]:
        return [self._kept(self._moments.past())]

    def _tie(self) -> list[Deal]:
        """Two salesmen, two cities, one total, on a day that has nothing else."""
        number = self._book.turn("tie") % 10
        day = self._moments.tie_day(20 + number)
        people, places = self._world.salesmen.items, self._world.places.items
        return [self._tied(day, people[index], places[index]) for index in (2 * number, 2 * number + 1)]

    def _tied(self, day: date, person: Person, place: Place) -> Deal:
        deal = self._book.deal(self._moments.noon(day))
        deal.sold_on, deal.moment = f"{day:%d.%m.%Y}", day
        deal.salesman, deal.place = person, place
        deal.amount, deal.value = self._book.priced(_TIE), _TIE
        return deal

    # Corrections

    def _amount(self) -> list[Deal]:
        deal = self._book.pick()
        if deal is not None and deal.value is not None:
            deal.value += Decimal(self._random.randint(1, 9_000)) / 100
            deal.amount = self._book.priced(deal.value)
        return _some(deal)

    def _city(self) -> list[Deal]:
        deal = self._book.pick()
        if deal is not None:
            deal.place = self._world.places.other(self._random, deal.place)
        return _some(deal)

    def _salesman(self) -> list[Deal]:
        deal = self._book.pick()
        if deal is not None:
            while (person := self._book.person()).id == deal.salesman.id:
                pass
            deal.salesman = person
        return _some(deal)

    def _redeliver(self) -> list[Deal]:
        """By turns one entry, or a whole lot of them, is noted anew as it was."""
        if self._book.turn("redeliver") % 2 == 0:
            return _some(self._book.pick())
        return self._book.sample(_RESENT)

    def _repair(self) -> list[Deal]:
        """By turns a broken deal is put right, or a cancelled one counts again."""
        if self._book.turn("repair") % 2 == 0:
            return _some(self._faults.mend())
        return _some(self._book.reinstate())

    def _dimension(self) -> list[Deal]:
        """By turns an agent's name, or a whole town, was wrong in many entries."""
        sample = self._book.pick()
        if sample is None:
            return []
        if self._book.turn("dimension") % 2:
            return self._moved(sample.place)
        person = Person(sample.salesman.id, full_name(self._random))
        self._book.rename(person)
        renamed = self._book.picked(lambda deal: deal.salesman.id == person.id, _REACH)
        for deal in renamed:
            deal.salesman = person
        return renamed

    def _moved(self, wrong: Place) -> list[Deal]:
        right = self._world.places.other(self._random, wrong)
        moved = self._book.picked(lambda deal: deal.place == wrong, _REACH)
        for deal in moved:
            deal.place = right
        return moved


def _some(deal: Deal | None) -> list[Deal]:
    return [] if deal is None else [deal]
