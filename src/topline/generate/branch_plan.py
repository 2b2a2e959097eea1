"""Events of the branches: files dropped, dropped again with other content, and what each sale counts for."""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from random import Random

from topline.generate.branch_book import File, Sale, SaleBook
from topline.generate.branch_faults import Faults
from topline.generate.branch_maker import SaleMaker
from topline.generate.events import Event, Fact, Kind
from topline.generate.moments import Moments
from topline.generate.options import Plan
from topline.generate.world import Person, Place, World

_SETTLED = 4.0  # seconds after which a newer file may correct a sale: by then its own file has been seen
_PERIOD = 1.0  # seconds between two new files
_REACH = 12  # files that a dimension's correction goes back


class BranchPlanner:
    """Plans one step at a time. New sales wait in the open file; `flush` drops it, and the files that were changed."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._plan, self._world = plan, world
        self._random = Random(f"branches {plan.seed} {plan.run}")
        self._moments = Moments(plan.start, plan.zone, plan.days, self._random)
        self._book = SaleBook(plan.currency, plan.bulk, self._random)
        self._maker = SaleMaker(plan, world, self._random)
        self._faults = Faults(self._random)
        self._at = 0.0
        self._open, self._opened = self._maker.file(), 0.0
        self._changed: dict[str, File] = {}
        self._kinds: Counter[Kind] = Counter()  # of the files that were changed
        self._waiting: Counter[Kind] = Counter()  # of the open file
        self._steps = 0
        self._actions: dict[Kind, Callable[[], bool]] = {
            Kind.NEW: self._new,
            Kind.AMOUNT: self._amount,
            Kind.CITY: self._city,
            Kind.SALESMAN: self._salesman,
            Kind.CANCELLED: self._cancel,
            Kind.LATE: lambda: self._put(self._maker.sale(self._moments.past())),
            Kind.TIED: self._tie,
            Kind.REDELIVERED: self._redeliver,
            Kind.BROKEN: lambda: self._put(self._faults.spoil(self._maker.sale(self._moments.now(self._at)))),
            Kind.REPAIRED: self._repair,
            Kind.DIMENSION: self._dimension,
        }

    @property
    def faults(self) -> int:
        """In how many ways a row may be broken; they come in turn."""
        return len(self._faults)

    def history(self) -> None:
        """One more sale of the days before the start."""
        self._put(self._maker.sale(self._moments.past() if self._random.random() < 0.8 else self._moments.today(0)))
        self._waiting[Kind.NEW] += 1

    def step(self, kind: Kind, at: float) -> bool:
        """Plan one event of that kind; False where no sale is there for it yet."""
        self._at = at
        rows = len(self._open.ids)
        if not self._actions[kind]():
            return False
        (self._waiting if len(self._open.ids) > rows else self._kinds)[kind] += 1
        self._steps += 1
        return True

    def due(self, at: float) -> bool:
        """Whether files are to be dropped now."""
        if self._plan.bulk:
            return self._steps >= self._plan.file_rows
        return bool(self._changed) or self._ripe(at)

    def flush(self, at: float, everything: bool = False) -> Event | None:
        """The files that wait, as one event: those changed, and the open one where its time has come."""
        files, kinds = list(self._changed.values()), self._kinds
        if self._open.sales and (everything or self._plan.bulk or self._ripe(at)):
            files.append(self._open)
            kinds += self._waiting
            self._open, self._opened, self._waiting = self._maker.file(), at, Counter()
        self._changed, self._kinds, self._steps = {}, Counter(), 0
        dropped = [self._book.drop(file, at) for file in files]
        facts: list[Fact] = [fact for _, settled in dropped for fact in settled]
        drops = tuple(drop for drop, _ in dropped)
        return Event("branches", at, kinds, drops=drops, facts=tuple(facts)) if drops else None

    def _ripe(self, at: float) -> bool:
        return len(self._open.ids) >= self._plan.file_rows or (bool(self._open.ids) and at - self._opened >= _PERIOD)

    # New sales

    def _new(self) -> bool:
        if self._plan.bulk:
            return self._put(self._maker.sale(self._moments.past()))
        earlier = self._random.random() < 0.3
        return self._put(self._maker.sale(self._moments.today(self._at) if earlier else self._moments.now(self._at)))

    def _put(self, sale: Sale) -> bool:
        self._book.add(self._open, sale)
        return True

    def _tie(self) -> bool:
        """Two salesmen, two cities, one total, on a day that has nothing else."""
        number = (2 * self._maker.turn("tie") + 1) % 20
        day = self._moments.tie_day(number)
        places = self._world.places.items
        for index, person in enumerate(self._maker.people[number : number + 2]):
            sale = self._maker.sale(self._moments.noon(day))
            sale.sold_at, sale.moment = day.isoformat(), day
            sale.salesman, sale.place, sale.amount = person, places[number + index], "250.00"
            self._put(sale)
        return True

    # Corrections

    def _amount(self) -> bool:
        sale = self._book.pick()
        if sale is None:
            return False
        sale.amount = str(Decimal(sale.amount) + Decimal(self._random.randint(1, 9_000)) / 100)
        return self._correct(sale)

    def _city(self) -> bool:
        sale = self._book.pick()
        if sale is None:
            return False
        sale.place = self._world.places.other(self._random, sale.place)
        return self._correct(sale)

    def _salesman(self) -> bool:
        sale = self._book.pick()
        if sale is None:
            return False
        while (person := self._maker.person()).id == sale.salesman.id:
            pass
        sale.salesman = person
        return self._correct(sale)

    def _correct(self, sale: Sale) -> bool:
        """By turns the sale's own file is dropped again, or a newer file has the sale."""
        file = sale.files[-1]
        settled = self._plan.bulk or (file.dropped_at is not None and self._at - file.dropped_at >= _SETTLED)
        if self._maker.turn("correct") % 2 and settled and self._open not in sale.files:
            return self._put(sale)
        return self._revise([sale])

    def _revise(self, sales: Iterable[Sale]) -> bool:
        """The file that holds a sale last is dropped again (the open one will be anyway)."""
        for sale in sales:
            self._book.touch(sale)
            if sale.files[-1] is not self._open:
                self._changed[sale.files[-1].name] = sale.files[-1]
        return True

    def _cancel(self) -> bool:
        sale = self._book.removable()
        if sale is None:
            return False
        self._changed[sale.files[0].name] = sale.files[0]
        self._book.remove(sale)
        return True

    def _redeliver(self) -> bool:
        """A file is dropped once more as it was."""
        file = self._book.fresh()
        if file is None:
            return False
        self._changed[file.name] = file
        return True

    def _repair(self) -> bool:
        sale = self._faults.mend()
        return sale is not None and self._revise([sale])

    def _dimension(self) -> bool:
        """By turns a salesman's name, or a whole city, was wrong in all files of late."""
        sample = self._book.pick()
        if sample is None:
            return False
        recent = [sale for file in self._book.files[-_REACH:] for sale in file.sales.values() if not sale.broken]
        if self._maker.turn("dimension") % 2:
            moved, place = sample.place, self._world.places.other(self._random, sample.place)
            return self._revise(_moved([sale for sale in recent if sale.place == moved], place))
        person = self._maker.rename(sample.salesman)
        return self._revise(_renamed([sale for sale in recent if sale.salesman.id == person.id], person))


def _moved(sales: list[Sale], place: Place) -> list[Sale]:
    for sale in sales:
        sale.place = place
    return sales


def _renamed(sales: list[Sale], person: Person) -> list[Sale]:
    for sale in sales:
        sale.salesman = person
    return sales
