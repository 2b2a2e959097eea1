"""The whole stream, pure and seeded: events of both sources, in the order in which they happen."""

from collections.abc import Iterator
from random import Random

from topline.generate.agenda import CREATING, Agenda
from topline.generate.branch_plan import BranchPlanner
from topline.generate.events import Event, Kind
from topline.generate.options import Plan
from topline.generate.shop_plan import ShopPlanner
from topline.generate.world import make_world


class Planner:
    """Same plan and same calls: same events. It does no I/O and knows no clock but the `at` that it is given."""

    def __init__(self, plan: Plan) -> None:
        world = make_world(plan.seed)
        self._shop, self._branches = ShopPlanner(plan, world), BranchPlanner(plan, world)
        random = Random(f"agenda {plan.seed} {plan.run}")
        self._shop_agenda = Agenda("shop", self._shop.faults, random)
        self._branch_agenda = Agenda("branches", self._branches.faults, random)
        self._steps = 0
        self.created = 0

    def history(self, sales: int) -> Iterator[Event]:
        """The shop's master data, then sales of the days before the start, by turns in both sources."""
        yield self._shop.masters()
        for number in range(sales):
            if number % 2 == 0:
                yield self._shop.history()
                continue
            self._branches.history()
            if self._branches.due(0.0) and (event := self._branches.flush(0.0)):
                yield event
        yield from self.finish(0.0)

    def step(self, at: float) -> Iterator[Event]:
        """The next step, `at` seconds after the start: by turns one of the shop, one of the branches."""
        self._steps += 1
        yield from self._shop_step(at) if self._steps % 2 else self._branch_step(at)

    def finish(self, at: float) -> Iterator[Event]:
        """What still waits to be dropped."""
        if event := self._branches.flush(at, everything=True):
            yield event

    def _shop_step(self, at: float) -> Iterator[Event]:
        kind = self._shop_agenda.next()
        event = self._shop.step(kind, at)
        if event is None:
            self._shop_agenda.postpone()
            kind = Kind.NEW
            event = self._shop.step(kind, at)
        self._note(self._shop_agenda, kind)
        if event:
            yield event

    def _branch_step(self, at: float) -> Iterator[Event]:
        kind = self._branch_agenda.next()
        if not self._branches.step(kind, at):
            self._branch_agenda.postpone()
            kind = Kind.NEW
            self._branches.step(kind, at)
        self._note(self._branch_agenda, kind)
        if self._branches.due(at) and (event := self._branches.flush(at)):
            yield event

    def _note(self, agenda: Agenda, kind: Kind) -> None:
        agenda.done(kind)
        if kind in CREATING:
            self.created += 2 if kind is Kind.TIED else 1
