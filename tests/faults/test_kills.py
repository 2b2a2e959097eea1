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
from tests.polling import Clock, until
from topline.faults import POINTS

SOURCE = Path(__file__).parents[2] / "src" / "topline"
SEEDS = (1, 2, 3)
RANDOM_KILLS, ROUNDS = 100, 4


def nothing(_: Company) -> None:
    """The stream of sales comes there by itself."""


@dataclass(frozen=True)
class Way:
    """How the engine is brought to a point: `before` it starts, with arguments and environment; `ends`: on its way out.

    `passes`: how often at most it certainly comes there.
    """

    before: Callable[[Company], None] = nothing
    passes: int = 10
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ends: bool = False


_RESYNC_SHOP = Way(lambda made: made.resync("shop"), passes=1)
_RESYNC_PARTNER = Way(lambda made: made.resync("partner"), passes=1)
_CHANGED = Way(lambda made: made.change_model(), passes=2)
_RESHAPED = Way(lambda made: made.change_model(columns=True), passes=2)
WAYS = {
    "copy": _RESYNC_SHOP,
    "copy:next-table": Way(_RESYNC_SHOP.before, passes=4),
    "copy:mid-table": Way(_RESYNC_SHOP.before, passes=3),
    "poll:sweep": _RESYNC_PARTNER,
    "append:letters": Way(lambda made: made.drop_broken(), passes=1),
    "schema": Way(_RESHAPED.before, passes=1),
    "shadow": _RESHAPED,
    "rebuild": Way(_CHANGED.before, passes=1),
    "rebuild:read": Way(_CHANGED.before, passes=5),
    "checkpoint": Way(passes=1, ends=True),
    "compact": Way(passes=1),
    "command": _RESYNC_PARTNER,
    "resync": _RESYNC_PARTNER,
    "replay": Way(lambda made: made.replay(), passes=1, env=KNOWN),
}
TAKE_OVER = {point: Way(passes=1, arguments=("--take-over",)) for point in POINTS if point.startswith("schema:")}
QUICK = (
    "copy:mid-table",
    "stream:decoded",
    "append:before-commit",
    "append:after-commit",
    "shadow:swapped",
    "publish:before-commit",
    "publish:after-commit",
    "checkpoint:before-note",
    "replay:logged",
    "resync:logged",
)


def way_to(point: str) -> Way:
    return WAYS.get(point) or WAYS.get(point.partition(":")[0]) or Way()


@pytest.fixture(scope="module")
def sellers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Company]]:
    """One company a seed, made when it is first asked for."""
    made: dict[int, Company] = {}
    yield made
    for one in made.values():
        one.close()


def test_every_point_of_the_code_is_declared_and_reached_here() -> None:
    placed = {name for path in SOURCE.rglob("*.py") for name in re.findall(r'\bpoint\("([^"]+)"\)', path.read_text())}
    assert placed == set(POINTS)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with company(tmp_path_factory.mktemp("quick"), seed=11) as made:
        yield made


@pytest.mark.parametrize("point", QUICK)
def test_killed_at_a_point_it_leaves_a_whole_epoch(quick: Company, point: str) -> None:
    """Each start is the recovery from the kill before it."""
    killed_at(quick, point, way_to(point), passes=1)


def test_killed_at_random_instants_it_leaves_a_whole_epoch(quick: Company) -> None:
    killed_at_random(quick, random.Random(4))


def test_after_all_of_this_nothing_is_lost_and_nothing_twice(quick: Company) -> None:
    ends_well(quick, "quick")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_every_point_it_recovers_and_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """In an order by chance, at a pass by chance; the seed repeats both."""
    draw = random.Random(seed)
    cases = [*((point, way_to(point)) for point in POINTS), *TAKE_OVER.items()]
    draw.shuffle(cases)
    with company(tmp_path, seed) as made:
        for point, way in cases:
            killed_at(made, point, way, passes=draw.randint(1, way.passes))
            restart = made.recover(way.env)
            made.kill()
            made.require_audited()
            what = "--take-over, " if way.arguments else ""
            part = point.partition(":")[0]
            note(fault=f"kill -9, {what}{part}", point=point, seed=seed, round=f"points {seed}", kills=2, restart=restart)
        ends_well(made, f"points {seed}")


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


def killed_at(made: Company, point: str, way: Way, passes: int) -> None:
    """It dies there, and what is published is exact as it stands, not only after a recovery."""
    way.before(made)
    process = made.start(*way.arguments, kill_at=f"{point}@{passes}", env=way.env)
    if way.ends:
        until(made.is_ready, timeout=PATIENCE, what="ready")
        process.send_signal(signal.SIGTERM)
    code = process.wait(PATIENCE)
    assert code == -signal.SIGKILL, f"{point}@{passes}: exit code {code}\n{made.project.output()[-3000:]}"
    made.require_audited()


def killed_at_random(made: Company, draw: random.Random) -> float:
    """The whole process group, mostly in the middle of something. The seconds that the start before it took."""
    restart = made.recover()
    until(Clock(draw.uniform(0.0, 2.0)), timeout=PATIENCE)
    made.kill()
    made.require_audited()
    return restart


def ends_well(made: Company, round_: str) -> None:
    balance = made.finish()
    note(round=round_, lost=balance.lost, doubled=balance.doubled)
    assert (balance.lost, balance.doubled) == (0, 0)
    assert made.differences() == {}
