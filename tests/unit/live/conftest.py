"""Engines without servers, for tests of what turns around the dataflow."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.live.engines import Clock, Rig, Told
from topline.live import checkpoint, loop, publication
from topline.models.plan import ProjectPlan


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the loop and of what it turns; and work that other threads would do is done at once."""
    made = Clock()
    for module in (checkpoint, loop, publication):
        monkeypatch.setattr(module, "time", made)
    for module in (checkpoint, publication):
        monkeypatch.setattr(module, "ThreadPoolExecutor", made.worker)
    return made


@pytest.fixture
def rig(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Rig]]:
    """Makes an engine; where one runs already, that one ends first, as in a restart."""
    running: list[Rig] = []

    def make(plan: ProjectPlan, *sources: Told, batch_rows: int = 1000, interval: float = 0.0, start: bool = True) -> Rig:
        if running:
            running.pop().close()
        made = Rig(tmp_path / "state", plan, clock, sources or (Told(),), batch_rows, interval)
        running.append(made)
        if start:
            made.readers.start()
        return made

    yield make
    for one in running:
        one.close()
