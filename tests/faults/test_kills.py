"""kill -9 of the engine at every named point, at random instants: what is published is exact at once, and in the end whole."""

import random
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.company import KNOWN, PATIENCE, Company, company
from tests.faults.report import note
from tests.faults.test_polled_kills import SWEEP
from tests.faults.test_servers_down import down_at_the_start
from tests.polling import Clock, until
from topline.faults import INGEST_POINTS, POINTS

SOURCE = Path(__file__).parents[2] / "src" / "topline"
SEEDS = (1, 2, 3)
RANDOM_KILLS, ROUNDS = 100, 4


def nothing(_: Company) -> None:
    """The stream of sales comes there by itself."""


@dataclass(frozen=True)
class Way:
    """How the engine is brought to a point: `before` it starts, with arguments and environment; `ends`: on its way out.

    `passes`: how often at most it certainly comes there. `starts`: it comes there only while it starts.
    """

    before: Callable[[Company], None] = nothing
    passes: int = 10
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False
    starts: bool = False


_RESYNC_SHOP = Way(lambda made: made.resync("shop"), passes=1)
_RESYNC_PARTNER = Way(lambda made: made.resync("partner"), passes=1)
_CHANGED = Way(lambda made: made.change_model(), passes=1, starts=True)
_RESHAPED = Way(lambda made: made.change_model(columns=True), passes=2, starts=True)
WAYS = {
    "copy": _RESYNC_SHOP,
    "copy:next-table": Way(_RESYNC_SHOP.before, passes=4),
    "copy:mid-table": Way(_RESYNC_SHOP.before, passes=3),
    "append:letters": Way(lambda made: made.drop_broken(), passes=1),
    "schema": Way(_RESHAPED.before, passes=1, starts=True),
    "shadow": _RESHAPED,
    "rebuild": _CHANGED,
    "rebuild:read": Way(_CHANGED.before, passes=5, starts=True),
    "checkpoint": Way(passes=1, ends=True),
    "compact": Way(passes=1),
    "command": _RESYNC_PARTNER,
    "resync": _RESYNC_PARTNER,
    "replay": Way(lambda made: made.replay(), passes=1, env=KNOWN),
}
TAKE_OVER = {
    f"{point}, taking over": Way(passes=1, arguments=("--take-over",), starts=True)
    for point in ("schema:before-commit", "schema:after-commit", "shadow:before-swap", "publish:after-commit")
}
HERE = [point for point in POINTS if point != SWEEP]
CASES = {point: WAYS.get(point) or WAYS.get(point.partition(":")[0]) or Way() for point in HERE} | TAKE_OVER
PARTS = 4  # of the cases, each a test, and a balance at its end
QUICK = ("copy:mid-table", "append:after-commit", "shadow:swapped", "publish:before-commit", "replay:logged")


def test_every_point_of_the_code_is_declared_and_reached_here() -> None:
    placed = {name for path in SOURCE.rglob("*.py") for name in re.findall(r'\bpoint\("([^"]+)"\)', path.read_text())}
    assert placed - set(INGEST_POINTS) == set(POINTS) == {case.partition(",")[0] for case in CASES} | {SWEEP}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with company(tmp_path_factory.mktemp("quick"), seed=11) as made:
        yield made


@pytest.mark.parametrize("point", QUICK)
def test_killed_at_a_point_it_leaves_a_whole_epoch(quick: Company, point: str) -> None:
    """Each start is the recovery from the kill before it."""
    killed_at(quick, point, passes=1, ready_first=False)


@pytest.mark.long
def test_results_that_are_down_at_the_start_are_waited_for(quick: Company) -> None:
    down_at_the_start(quick)


def test_after_all_of_this_nothing_is_lost_and_nothing_twice(quick: Company) -> None:
    ends_well(quick, "quick")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_every_point_it_recovers_and_nothing_is_lost(tmp_path: Path, seed: int, part: int) -> None:
    """In an order by chance, at a pass by chance; the seed repeats both. A start is the recovery from the kill before it."""
    draw = random.Random(seed)
    cases = list(CASES)
    draw.shuffle(cases)
    round_ = f"points {seed}, {part}"
    with company(tmp_path, 10 * seed + part) as made:
        before = ""
        for case in cases[part::PARTS]:
            restart = killed_at(made, case, draw.randint(1, CASES[case].passes), ready_first=not CASES[case].starts)
            note_kill(before, round_, seed, restart)
            before = case
        note_kill(before, round_, seed, ends_well(made, round_))


def note_kill(case: str, round_: str, seed: int, restart: float | None) -> None:
    """`restart`: seconds until the engine that was killed there was ready again, where that was seen."""
    if case:
        part, _, way = case.partition(", ")
        fault = f"kill -9, {part.partition(':')[0]}" + (f", {way}" if way else "")
        note(fault=fault, point=part, seed=seed, round=round_, kills=1, restart=restart)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
def test_killed_again_and_again_at_random_instants_it_recovers_and_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    with company(tmp_path, seed) as made:
        for number in range(RANDOM_KILLS // ROUNDS):
            restart = killed_at_random(made, draw)
            note(fault="kill -9, at random", point=str(number), seed=seed, round=f"random {seed}", kills=1, restart=restart)
        ends_well(made, f"random {seed}")


def killed_at(made: Company, case: str, passes: int, *, ready_first: bool) -> float | None:
    """It dies there, and what is published is exact as it stands, not only after a recovery.

    With `ready_first` not before the engine was ready; the seconds until then.
    """
    way, point = CASES[case], case.partition(",")[0]
    restart = None
    if ready_first or way.ends:
        restart = made.recover(*way.arguments, kill_at=f"{point}@{passes}", env=way.env)
        way.before(made)
        made.arm()
    else:
        way.before(made)
        made.start(*way.arguments, kill_at=f"{point}@{passes}", env=way.env)
    assert made.process is not None
    if way.ends:
        made.process.send_signal(signal.SIGTERM)
    code = made.process.wait(PATIENCE)
    assert code == -signal.SIGKILL, f"{case}@{passes}: exit code {code}\n{made.project.output()[-3000:]}"
    made.require_audited()
    return restart


def killed_at_random(made: Company, draw: random.Random) -> float:
    """The whole process group, mostly in the middle of something. The seconds that the start before it took."""
    restart = made.recover()
    until(Clock(draw.uniform(0.0, 2.0)), timeout=PATIENCE)
    made.kill()
    made.require_audited()
    return restart


def ends_well(made: Company, round_: str) -> float:
    """The books agree; the seconds that the last start took."""
    restart, balance = made.finish()
    note(round=round_, lost=balance.lost, doubled=balance.doubled)
    assert (balance.lost, balance.doubled) == (0, 0), balance.differences
    assert made.differences() == {}
    return restart
