"""A network that is bad when the engine starts, or never leads anywhere; and an engine that is to stop while one hangs."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.networks.world import PATIENCE, SOURCES, Door, World, engine, well
from tests.polling import until
from tests.project import TestProject, new_project
from tests.servers.proxy import Network
from topline.config import load_project
from topline.log import LogReader

MANY = 4_000  # sales of history: some hundred kilobytes from each source


@contextmanager
def waiting(folder: Path, history: int = 200) -> Iterator[World]:
    """A world in which no engine runs yet."""
    project = new_project(folder / "sales")
    with project.server() as server, ExitStack() as stack:
        for database in ("shop", "ledger", "topline"):
            server.dsn(database)
        yield World(project, stack, "soap", history=history)


@pytest.mark.long
@pytest.mark.parametrize("door", SOURCES)
def test_a_source_that_is_down_at_the_start_comes_later(tmp_path: Path, door: Door) -> None:
    with waiting(tmp_path) as world:
        world.proxies[door].go_down()
        world.start()
        reason = until(lambda: world.named(door), timeout=PATIENCE, what=f"/readyz names {door}")
        assert "since 20" in reason
        others = set(SOURCES) - {door}
        until(lambda: others <= set(world.stood().changes), timeout=PATIENCE, what="the others are read")
        world.proxies[door].come_up()
        until(lambda: well(world), timeout=PATIENCE, what="all is well")
        world.require_exact()


@pytest.mark.long
@pytest.mark.parametrize(
    "network",
    [Network(reset=120_000), Network(delay=0.2), Network(delay=0.001, piece=400)],
    ids=["reset in the middle", "slow", "trickle"],
)
def test_a_first_load_over_a_bad_network_is_whole_once_it_is_well(tmp_path: Path, network: Network) -> None:
    """Copies, long lists, large objects, and the tables that are published whole."""
    with waiting(tmp_path, history=MANY) as world:
        world.start()
        for door in SOURCES:
            world.proxies[door].network = network
        until(lambda: all(world.proxies[door].happened.is_set() for door in SOURCES) or well(world), timeout=PATIENCE)
        for door in SOURCES:
            world.proxies[door].come_up()
        until(lambda: well(world), timeout=PATIENCE, what="all is well")
        world.require_exact()


@pytest.mark.long
@pytest.mark.parametrize("door", SOURCES)
def test_a_host_that_has_no_address_is_named(tmp_path: Path, door: Door) -> None:
    with waiting(tmp_path) as world:
        world.send_nowhere(door)
        world.start()
        until(lambda: world.named(door), timeout=PATIENCE, what=f"/readyz names {door}")
        others = set(SOURCES) - {door}
        until(lambda: others <= set(world.stood().changes), timeout=PATIENCE, what="the others are read")


@pytest.mark.long
def test_results_that_hang_stop_neither_the_log_nor_the_end(tmp_path: Path) -> None:
    """Sources are read on, SIGTERM ends the process with 0, and the next run publishes what is owed."""
    with waiting(tmp_path) as world:
        with world.selling():
            process = world.project.start("run")
            try:
                until(lambda: world.published() > 2, timeout=PATIENCE, what="it publishes")
                world.proxies["results"].network = Network(silent=True)
                begin = logged(world.project)
                until(lambda: logged(world.project) > begin + 10, timeout=PATIENCE, what="the log grows all the same")
            finally:
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                code = process.wait(60)
                print(f"stopped within {time.monotonic() - began:.1f} s")
        assert code == 0, world.project.output()
        world.proxies["results"].come_up()
        with engine(world.project):
            world.require_exact()


def logged(project: TestProject) -> int:
    """The log's epoch, asked of the log alone."""
    loaded = load_project(project.folder)
    with LogReader.open(loaded.state_dir, loaded.config.project) as log:
        return int(log.epoch)
