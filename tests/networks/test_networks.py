"""Every network spoilt in every way while all sell: the others go on, the one is named, all catches up, and is exact."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.networks.world import PATIENCE, SOURCES, Door, Stood, World, world
from tests.polling import until
from tests.servers.proxy import Network, Proxy
from topline.sources.reader import Status

Spoil = Callable[[Proxy], None]


@dataclass(frozen=True)
class Fault:
    """`told`: what is spoilt does not work meanwhile, and is named. Else it may go on, slowly or by itself."""

    spoil: Spoil
    told: bool = True


def be(network: Network) -> Spoil:
    def spoil(proxy: Proxy) -> None:
        proxy.network = network

    return spoil


FAULTS = {
    "refused": Fault(lambda proxy: proxy.go_down()),
    "thrown out": Fault(lambda proxy: proxy.go_down("dropped")),
    "silent": Fault(be(Network(silent=True))),
    "reset early": Fault(be(Network(reset=40))),
    "reset in the middle": Fault(be(Network(reset=6_000)), told=False),
    "slow": Fault(be(Network(delay=0.2)), told=False),
    "very slow": Fault(be(Network(delay=1.0)), told=False),
    "trickle": Fault(be(Network(delay=0.002, piece=16)), told=False),
    "half open": Fault(lambda proxy: proxy.freeze(), told=False),
    "server gone": Fault(lambda proxy: proxy.freeze(hang_up=True), told=False),
}
DOORS: tuple[Door, ...] = (*SOURCES, "results")
QUICK = {
    ("shop", "silent"),
    ("branches", "reset in the middle"),
    ("partner", "refused"),
    ("shop", "half open"),
}
CASES = [
    pytest.param(door, fault, id=f"{door} {fault}", marks=[] if (door, fault) in QUICK else pytest.mark.long)
    for fault in FAULTS
    for door in DOORS
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("networks"), "soap") as made:
        yield made


@pytest.fixture(scope="module")
def asked_as_rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("rest"), "rest") as made:
        yield made


@pytest.mark.parametrize(("door", "fault"), CASES)
def test_one_network_is_spoilt_and_the_others_go_on(shared: World, door: Door, fault: str) -> None:
    endures(shared, door, fault)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_a_partner_asked_as_rest_endures_the_same(asked_as_rest: World, fault: str) -> None:
    endures(asked_as_rest, "partner", fault)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])
def test_a_commit_whose_reply_is_lost_counts_once(shared: World, times: int) -> None:
    """The results have the epoch, and the engine does not know; it publishes it again."""
    for _ in range(times):
        before = shared.stood()
        loses(shared.proxies["results"], b"COMMIT")
        recovers(shared, before, "results")
        shared.require_audited()


QUESTIONS: dict[Door, bytes] = {"shop": b"START_REPLICATION", "branches": b"GET /", "partner": b"POST /"}


@pytest.mark.long
@pytest.mark.parametrize("door", QUESTIONS)
def test_a_question_whose_answer_is_lost_is_asked_again(shared: World, door: Door) -> None:
    proxy, before = shared.proxies[door], shared.stood()
    proxy.freeze()  # so that it is asked anew
    loses(proxy, QUESTIONS[door])
    recovers(shared, before, door)


@pytest.mark.long
def test_everything_is_down_at_once_and_comes_back(shared: World) -> None:
    for proxy in shared.proxies.values():
        proxy.network = Network(silent=True)
    try:
        until(lambda: all(map(shared.named, DOORS)), timeout=PATIENCE, what="each is named")
        before = shared.stood()
    finally:
        for proxy in shared.proxies.values():
            proxy.come_up()
    recovers(shared, before, *DOORS)


def test_after_all_faults_the_results_are_those_of_the_ledger(shared: World) -> None:
    until(shared.ready, timeout=PATIENCE, what="all is ready again")
    shared.require_exact()


@pytest.mark.long
def test_after_all_faults_of_rest_the_results_are_those_of_the_ledger(asked_as_rest: World) -> None:
    until(asked_as_rest.ready, timeout=PATIENCE, what="all is ready again")
    asked_as_rest.require_exact()


def endures(world: World, door: Door, name: str) -> None:
    """The fault begins, shows, ends, and nothing of it stays."""
    until(world.ready, timeout=PATIENCE, what="all is well before")
    proxy, fault = world.proxies[door], FAULTS[name]
    before = world.stood()
    fault.spoil(proxy)
    try:
        if fault.told:
            reason = until(lambda: world.named(door), timeout=PATIENCE, what=f"/readyz names {door}")
            assert "since 20" in reason, reason
            assert "it runs and can be reached" in reason, reason
            assert door in json.dumps(world.status()), "the status names it too"
        before = world.stood()
        until(lambda: others_went_on(world, before, door), timeout=PATIENCE, what="the others go on")
    finally:
        proxy.come_up()
    recovers(world, world.stood(), door)
    world.require_audited()


def loses(proxy: Proxy, words: bytes) -> None:
    """What the client says with these words gets through, and the answer does not."""
    proxy.network = Network(lost=words)
    try:
        until(proxy.happened.is_set, timeout=PATIENCE, what=f"the answer to {words!r} was lost")
    finally:
        proxy.come_up()


def recovers(world: World, before: Stood, *doors: Door) -> None:
    began = time.monotonic()
    until(lambda: all(went_on(world, before, door) for door in doors), timeout=PATIENCE, what=f"{doors} go on")
    until(world.ready, timeout=PATIENCE, what="all is ready again")
    world.recoveries.append(time.monotonic() - began)
    print(f"recovered {', '.join(doors)}: {world.recoveries[-1]:.1f} s")


def others_went_on(world: World, before: Stood, door: Door) -> bool:
    """They are read into the log; and published, where there is somewhere to publish to."""
    now = world.stood()
    read = all(now.changes[source] > before.changes[source] for source in SOURCES if source != door)
    return read and (now.logged > before.logged if door == "results" else now.published > before.published)


def went_on(world: World, before: Stood, door: Door) -> bool:
    now = world.stood()
    if door == "results":
        return now.published > before.logged
    running = world.running.started.engine.machinery.readers[door].state.status is Status.RUNNING
    return running and now.changes[door] > before.changes[door]
