"""Makes the branches' sales: who sold where for how much, and how the branch writes it down."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from topline.generate.branch_book import File, Sale
from topline.generate.options import Plan
from topline.generate.world import ZONES, Person, Place, World, between, full_name


class SaleMaker:
    """Draws sales from `random`; knows the salesmen by the names that the branches use now."""

    def __init__(self, plan: Plan, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._run, self._currency = plan.run, plan.currency
        self._turn: Counter[str] = Counter()
        self._people = {person.id: person for person in world.salesmen.items}

    @property
    def people(self) -> list[Person]:
        return list(self._people.values())

    def turn(self, what: str) -> int:
        """0, 1, 2, ... for each name: to take turns among the ways of one kind."""
        self._turn[what] += 1
        return self._turn[what] - 1

    def file(self) -> File:
        return File(f"branches-{self._run}-{self.turn('file') + 1:06d}.csv")

    def person(self) -> Person:
        return self._people[self._world.salesmen.draw(self._random).id]

    def rename(self, person: Person) -> Person:
        """From now on he is written with another name."""
        self._people[person.id] = Person(person.id, full_name(self._random))
        return self._people[person.id]

    def sale(self, moment: datetime) -> Sale:
        place = self._world.places.draw(self._random)
        sold_at, meant = self._written(moment, place)
        sale_id = f"B{self._run}-{self.turn('sale') + 1:07d}"
        return Sale(sale_id, sold_at, meant, place, self.person(), str(self._amount_of_one()), self._currency)

    def _written(self, moment: datetime, place: Place) -> tuple[str, datetime | date]:
        """How the branch writes the time: with an offset, in the project's zone without saying so, or the day alone."""
        luck = self._random.random()
        if luck < 0.15:
            return moment.date().isoformat(), moment.date()
        if luck < 0.35:
            return moment.replace(tzinfo=None).isoformat(sep=" "), moment
        zone = UTC if luck < 0.45 else ZoneInfo(ZONES.get(place.country, "Europe/Rome"))
        return moment.astimezone(zone).isoformat(), moment

    def _amount_of_one(self) -> Decimal:
        random = self._random
        price = self._world.products.draw(random).price * between(random, 85, 360) / 100
        amount = price.quantize(Decimal("0.01"))
        return amount + Decimal("0.00005") if random.random() < 0.02 else amount
