"""The partner's deals as the planner knows them: what stands in the partner's book, and what each deal counts for."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from topline.embedded.partner import Entry, stamp
from topline.generate.events import Fact
from topline.generate.options import Plan
from topline.generate.world import Person, Place, World, between

_UNIT = Decimal("0.0001")
_KEPT = 4_000  # recent deals that may still be corrected
_CANCELLED_KEPT = 500  # cancelled deals that may come back
_CROWD = 20  # events without a time of their own that share a millisecond


@dataclass(slots=True)
class Deal:
    """One entry. `sold_on` and `amount` are as the partner writes them, `moment` and `value` what they mean (None: nothing).

    numbered   the entry has got its number; without one nobody can tell which it is
    cancelled  it counts for nothing, and is told as such
    """

    id: str
    sold_on: str | None
    moment: datetime | date | None
    place: Place
    salesman: Person
    amount: str | None
    value: Decimal | None
    currency: str
    numbered: bool = True
    cancelled: bool = False

    def entry(self, changed_at: str) -> Entry:
        """A place without a district has none in the book either, and so with all that is missing."""
        country, district, town = (text or None for text in self.place)
        return Entry(
            id=self.id,
            changed_at=changed_at,
            entry_no=self.id if self.numbered else None,
            sold_on=self.sold_on,
            country=country,
            district=district,
            town=town,
            agent_no=self.salesman.id or None,
            agent_name=self.salesman.name,
            amount=self.amount,
            currency=self.currency,
            state="C" if self.cancelled else "A",
        )


class DealBook:
    """Only recent deals are kept, so that a long stream needs no more memory than a short one."""

    def __init__(self, plan: Plan, world: World, random: Random) -> None:
        self.random, self.currency = random, plan.currency
        self._run, self._start, self._world = plan.run, plan.start, world
        self._people = {person.id: person for person in world.salesmen.items}
        self._turn: Counter[str] = Counter()
        self._recent: list[Deal] = []
        self._cancelled: list[Deal] = []
        self._moments = 0

    def turn(self, what: str) -> int:
        """0, 1, 2, ... for each name: to take turns among the ways of one kind."""
        self._turn[what] += 1
        return self._turn[what] - 1

    def stamp(self, at: float, behind: float = 0.0) -> str:
        """When an event `at` seconds after the start is noted; never before an earlier one, but by `behind` seconds.

        Where all happens at once (history, full speed) a few share each millisecond.
        """
        self._moments += 1
        seconds = max(at, self._moments // _CROWD / 1000) - behind
        return stamp(self._start.astimezone(UTC) + timedelta(seconds=seconds))

    def person(self) -> Person:
        return self._people[self._world.salesmen.draw(self.random).id]

    def rename(self, person: Person) -> None:
        """From now on the partner writes him so."""
        self._people[person.id] = person

    def deal(self, moment: datetime) -> Deal:
        value = self.value()
        deal_id = f"P{self._run}-{self.turn('deal') + 1:07d}"
        sold_on, meant = self._dated(moment)
        place, person = self._world.places.draw(self.random), self.person()
        return Deal(deal_id, sold_on, meant, place, person, self.priced(value), value, self.currency)

    def _dated(self, moment: datetime) -> tuple[str, datetime | date]:
        """The partner's local time, to the second or the minute, or the day alone."""
        luck = self.random.random()
        if luck < 0.2:
            return f"{moment:%d.%m.%Y}", moment.date()
        return (f"{moment:%d.%m.%Y %H:%M}" if luck < 0.4 else f"{moment:%d.%m.%Y %H:%M:%S}"), moment

    def value(self) -> Decimal:
        price = self._world.products.draw(self.random).price * between(self.random, 85, 360) / 100
        value = price.quantize(Decimal("0.01"))
        return value + Decimal("0.00005") if self.random.random() < 0.02 else value

    def priced(self, value: Decimal) -> str:
        """With a decimal comma, which whole numbers lack at times; with dots between thousands or without."""
        luck = self.random.random()
        if value == value.to_integral_value() and luck < 0.5:
            return f"{value:.0f}"
        return f"{value:,}".translate(str.maketrans(",.", ".,")) if luck < 0.7 else str(value).replace(".", ",")

    def keep(self, deal: Deal) -> None:
        """From now on the deal may be corrected."""
        if len(self._recent) < _KEPT:
            self._recent.append(deal)
        else:
            self._recent[self.random.randrange(_KEPT)] = deal

    def pick(self) -> Deal | None:
        return self.random.choice(self._recent) if self._recent else None

    def sample(self, most: int) -> list[Deal]:
        return self.random.sample(self._recent, min(most, len(self._recent)))

    def picked(self, wanted: Callable[[Deal], bool], most: int) -> list[Deal]:
        """At most so many of the recent deals that are wanted."""
        return [deal for deal in self._recent if wanted(deal)][:most]

    def cancel(self) -> Deal | None:
        if not self._recent:
            return None
        deal = self._recent.pop(self.random.randrange(len(self._recent)))
        deal.cancelled = True
        if len(self._cancelled) < _CANCELLED_KEPT:
            self._cancelled.append(deal)
        return deal

    def reinstate(self) -> Deal | None:
        """A deal that was cancelled counts again."""
        if not self._cancelled:
            return None
        deal = self._cancelled.pop(self.random.randrange(len(self._cancelled)))
        deal.cancelled = False
        self.keep(deal)
        return deal

    def fact(self, deal: Deal) -> Fact:
        return Fact("partner_sales", deal.id, self._row(deal) if deal.numbered and not deal.cancelled else None)

    def _row(self, deal: Deal) -> tuple[object, ...]:
        instant = deal.moment if isinstance(deal.moment, datetime) else None
        day = deal.moment if deal.moment is not None and instant is None else None
        amount = None if deal.value is None else deal.value.quantize(_UNIT, ROUND_HALF_UP)
        return (instant, day, *deal.place, *deal.salesman, amount, self._fault(deal))

    def _fault(self, deal: Deal) -> str | None:
        if deal.currency != self.currency:
            return "currency"
        if deal.moment is None:
            return "time"
        missing = "city" if not deal.place.city.strip() else "salesman_id" if not deal.salesman.id else None
        return "amount" if deal.value is None else missing
