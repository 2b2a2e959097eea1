"""Beside the loop: the status is written, commands are fetched and answered, and what goes wrong there is heard of."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests.polling import until
from tests.unit.live.engines import Rig, Rigs, batch
from tests.unit.live.histories import order, upserts
from tests.unit.live.plans import sums
from topline.changes import DeadLetter, Position
from topline.errors import StateError, TransientError, UsageError
from topline.live import attendant
from topline.live.attendant import Attendant
from topline.live.commands import Commands
from topline.log import LetterState
from topline.results import Command, DeadLetterStatus, EngineStatus, SourceStatus, StatusWriter
from topline.results import Commands as Inbox


class Server:
    """The results database as the attendant sees it: `errors` are raised first, by whatever is asked next."""

    def __init__(self) -> None:
        self.errors: deque[Exception] = deque()
        self.down = False
        self.did: list[str] = []

    def ask(self, what: str) -> None:
        self.did.append(what)
        if self.errors:
            raise self.errors.popleft()
        if self.down:
            raise TransientError("the results database does not answer")


class Asked(Inbox):
    """Commands that wait, and what was answered."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.commands: list[Command] = []
        self.answers: list[tuple[int, bool, str]] = []

    def recover(self) -> int:
        self._server.ask("recover")
        return 0

    def take(self) -> list[Command]:
        self._server.ask("take")
        taken, self.commands = self.commands, []
        return taken

    def finish(self, command: int, ok: bool, message: str) -> None:
        self._server.ask("finish")
        self.answers.append((command, ok, message))

    def close(self) -> None:
        self._server.did.append("close inbox")


class Written(StatusWriter):
    def __init__(self, server: Server) -> None:
        self._server = server
        self.engines: list[EngineStatus] = []
        self.sources: list[Sequence[SourceStatus]] = []
        self.letters: list[Sequence[DeadLetterStatus]] = []

    def write(
        self, engine: EngineStatus, sources: Sequence[SourceStatus], dead_letters: Sequence[DeadLetterStatus] = ()
    ) -> None:
        self._server.ask("write")
        self.engines.append(engine)
        self.sources.append(sources)
        self.letters.append(dead_letters)

    def close(self) -> None:
        self._server.did.append("close status")


class Doing(Commands):
    """Notes what is carried out; `refusals`: what is raised instead, one after the other."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Mapping[str, Any]]] = []
        self.refusals: list[Exception] = []

    def carry_out(self, kind: str, arguments: Mapping[str, Any]) -> str:
        if self.refusals:
            raise self.refusals.pop(0)
        self.done.append((kind, arguments))
        return f"{kind} done"


class Desk:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.server = Server()
        self.inbox, self.status, self.commands = Asked(self.server), Written(self.server), Doing()
        self.revived = 0
        self.refuse: Exception | None = None
        self.attendant = Attendant(
            rig.engine, self.commands, self.status, self.inbox, {"shop": "postgres"}, compact_rows=103, revive=self._revive
        )

    def _revive(self) -> None:
        self.revived += 1
        if self.refuse:
            raise self.refuse

    def look(self, times: int = 1) -> None:
        """Wait for so many more whole looks."""
        before = len(self.status.engines)
        until(lambda: len(self.status.engines) >= before + times)


@pytest.fixture
def desk(rig: Rigs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(attendant, "INTERVAL", 0.001)
    one = Desk(rig(sums()))
    yield one
    if one.attendant._thread.ident is not None:
        one.attendant.stop()


def test_the_status_is_written_again_and_again_and_at_the_end(desk: Desk) -> None:
    desk.attendant.start()
    desk.look(3)
    desk.rig.engine.holds.models["m"] = "halted"
    desk.attendant.stop()
    assert desk.status.engines[-1].details["halted_models"] == {"m": "halted"}
    assert [(source.source, source.kind) for source in desk.status.sources[-1]] == [("shop", "postgres")]
    assert desk.server.did[-2:] == ["close status", "close inbox"]
    assert desk.server.did.count("recover") == 1


def test_a_command_that_waits_at_the_start_is_carried_out_at_the_first_turn(desk: Desk) -> None:
    desk.inbox.commands = [Command(1, "resync", {"target": "shop"}), Command(2, "replay", {"letters": [3]})]
    desk.attendant.start()
    desk.attendant.turn()
    assert desk.commands.done == [("resync", {"target": "shop"}), ("replay", {"letters": [3]})]
    until(lambda: len(desk.inbox.answers) == 2)
    assert desk.inbox.answers == [(1, True, "resync done"), (2, True, "replay done")]


def test_a_command_that_is_refused_is_answered_with_the_reason(desk: Desk) -> None:
    desk.commands.refusals = [UsageError("no source is named 'x'")]
    desk.inbox.commands = [Command(1, "resync", {"target": "x"})]
    desk.attendant.start()
    desk.attendant.turn()
    until(lambda: desk.inbox.answers)
    assert desk.inbox.answers == [(1, False, "no source is named 'x'")]


def test_an_answer_that_could_not_be_written_is_written_later_once(desk: Desk) -> None:
    desk.inbox.commands = [Command(1, "resync", {"target": "shop"})]
    desk.attendant.start()
    desk.look()
    desk.server.down = True
    desk.attendant.turn()
    until(lambda: desk.server.did.count("finish") > 1)
    assert desk.inbox.answers == []
    desk.server.down = False
    desk.look(2)
    assert desk.inbox.answers == [(1, True, "resync done")]


def test_tables_that_the_engine_wants_anew_are_asked_for_until_the_source_is_free(desk: Desk) -> None:
    desk.rig.engine.resyncs = {"shop.orders"}
    desk.commands.refusals = [TransientError("the source shop is busy")]
    desk.attendant.turn()
    assert (desk.rig.engine.resyncs, desk.commands.done) == ({"shop.orders"}, [])
    desk.rig.engine.resyncs.add("shop.items")
    desk.attendant.turn()
    assert (desk.rig.engine.resyncs, sorted(a["target"] for _, a in desk.commands.done)) == (
        set(),
        ["shop.items", "shop.orders"],
    )
    assert {kind for kind, _ in desk.commands.done} == {"resync"}


def test_while_the_results_are_down_ours_are_started_again_and_then_it_goes_on(desk: Desk) -> None:
    desk.server.down = True
    desk.refuse = OSError("no memory")
    desk.attendant.start()
    until(lambda: desk.revived > 1)
    desk.attendant.turn()
    assert desk.status.engines == []
    desk.server.down = False
    desk.look()


def test_results_that_were_never_open_are_left_alone_but_for_starting_ours(desk: Desk) -> None:
    desk.rig.publication.open_later(lambda: pytest.fail("later"), lambda _: None, TransientError("down"))
    desk.attendant.start()
    until(lambda: desk.revived > 1)
    assert desk.server.did == []


def test_what_ends_the_thread_ends_the_engine(desk: Desk) -> None:
    desk.attendant.start()
    desk.look()
    desk.attendant.turn()
    desk.server.errors.append(StateError("the result tables are not as the engine left them"))
    until(lambda: not desk.attendant._thread.is_alive())
    with pytest.raises(StateError, match="not as the engine left them"):
        desk.attendant.turn()


def test_results_that_refuse_at_the_start_are_heard_of_at_once(desk: Desk) -> None:
    desk.server.errors.append(StateError("a privilege is missing"))
    with pytest.raises(StateError):
        desk.attendant.start()


def test_dead_letters_are_mirrored_when_there_are_others_newest_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attendant, "MIRRORED", 2)
    letters = [DeadLetter("shop.orders", "one", Position(1, n), b"raw%d" % n, "unreadable", f"line {n}") for n in range(3)]
    desk.rig.take(batch(dead_letters=tuple(letters)))
    desk.attendant.start()
    desk.look(2)
    shown = [found for found in desk.status.letters if found]
    assert [(one.id, one.source, one.table, one.locator, one.raw) for one in shown[0]] == [
        (3, "shop", "shop.orders", "line 2", b"raw2"), (2, "shop", "shop.orders", "line 1", b"raw1"),
    ]  # fmt: skip
    assert [(one.reason, one.state) for one in shown[0]] == [("unreadable", "open")] * 2
    assert len(shown) == 1, "the same ones are not written again"
    desk.rig.log.mark_letter(3, LetterState.SUPERSEDED)
    desk.look(2)
    shown = [found for found in desk.status.letters if found]
    assert [one.state for one in shown[1]] == ["superseded", "open"]


def test_the_log_is_folded_from_so_many_rows_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folded: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        desk.rig.log, "compact_in_background", lambda *, hurried: folded.append((desk.rig.log.pending, hurried))
    )
    desk.rig.take(batch(upserts("shop.orders", *[order(n, "1") for n in range(3)])))
    desk.attendant.start()
    desk.look(3)
    assert folded == []
    desk.rig.take(batch(upserts("shop.orders", order(4, "1"), hi=2), hi=2))
    desk.look(2)
    assert folded == [], "a run of a moment would end amid it"
    monkeypatch.setattr("topline.live.attendant.SETTLED", 0.0)
    until(lambda: folded)
    assert folded[0] == (204, False), "an epoch counts as 100 rows more"
    monkeypatch.setattr(desk.rig.engine, "behind", lambda: True)
    until(lambda: (204, True) in folded)
