"""The whole stream, pure and seeded: events of all sources, in the order in which they happen."""

from collections.abc import Iterator, Mapping
from random import Random

from topline.generate.agenda import CREATING, Agenda
from topline.generate.branch_plan import BranchPlanner
from topline.generate.events import SOURCES, Event, Kind, Source
from topline.generate.options import Plan
from topline.generate.partner_plan import PartnerPlanner
from topline.generate.shop_plan import ShopPlanner
from topline.generate.world import make_world


class Planner:
    """Same plan and same calls: same events. It does no I/O and knows no clock but the `at` that it is given."""

    def __init__(self, plan: Plan) -> None:
        world = make_world(plan.seed)
        self._shop, self._branches, self._partner = (
            ShopPlanner(plan, world),
            BranchPlanner(plan, world),
            PartnerPlanner(plan, world),
        )
        random = Random(f"agenda {plan.seed} {plan.run}")
        faults: dict[Source, int] = {
            "shop": self._shop.faults,
            "branches": self._branches.faults,
            "partner": self._partner.faults,
        }
        self._agendas = {source: Agenda(source, faults[source], random) for source in SOURCES}
        self._turns = turns(plan.shares)
        self._steps = 0
        self.created = 0

    def history(self, sales: int) -> Iterator[Event]:
        """The shop's master data, then sales of the days before the start, by turns in all sources."""
        yield self._shop.masters()
        for number in range(sales):
            source = self._turns[number % len(self._turns)]
            if source == "branches":
                self._branches.history()
                yield from self._due_files(0.0)
            else:
                yield (self._shop if source == "shop" else self._partner).history()
        yield from self.finish(0.0)

    def step(self, at: float) -> Iterator[Event]:
        """The next step, `at` seconds after the start: by turns one of each source."""
        source = self._turns[self._steps % len(self._turns)]
        self._steps += 1
        agenda = self._agendas[source]
        kind = agenda.next()
        events = self._events(source, kind, at)
        if events is None:
            agenda.postpone()
            kind = Kind.NEW
            events = self._events(source, kind, at)
        agenda.done(kind)
        if kind in CREATING:
            self.created += 2 if kind is Kind.TIED else 1
        yield from events or ()

    def finish(self, at: float) -> Iterator[Event]:
        """What still waits to be dropped."""
        if event := self._branches.flush(at, everything=True):
            yield event

    def _events(self, source: Source, kind: Kind, at: float) -> list[Event] | None:
        """What a step comes to: branches' sales may wait for their file. None: it is not possible yet."""
        if source == "branches":
            return list(self._due_files(at)) if self._branches.step(kind, at) else None
        event = (self._shop if source == "shop" else self._partner).step(kind, at)
        return None if event is None else [event]

    def _due_files(self, at: float) -> Iterator[Event]:
        if self._branches.due(at) and (event := self._branches.flush(at)):
            yield event


def turns(shares: Mapping[Source, int]) -> list[Source]:
    """One round of turns: each source as often as its share says, as evenly spread as can be."""
    places = [((turn + 0.5) / share, source) for source, share in shares.items() for turn in range(share)]
    return [source for _, source in sorted(places, key=lambda place: place[0])]
