"""Given an engine with a fault, when a seed is soaked, then the failure comes with the line that replays it, and small."""

import pytest

from tests.exact.mutants import Mutant, broken
from tests.soak import __main__ as command
from tests.soak import histories

FAULT = Mutant("a group stays when its last row went", "live.aggregate", "AggregateOperator.step", "!= 0", ">= 0")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_failure_is_told_with_the_line_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "SHRINK", 12)
    with broken(FAULT):
        found = next(one for seed in range(3) if (one := histories.outcome(seed)).failures)
    assert f"replay: make soak SEED={found.seed} N=1" in found.failures[0]
    assert "live results differ from the SQL" in found.failures[0]
    assert "select" in found.failures[0]
    assert "batch 0: Delivery" in found.failures[0]


def test_what_can_be_soaked_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tests.soak", "nothing"])
    assert command.main() == 2
    assert "histories|resources" in capsys.readouterr().err
