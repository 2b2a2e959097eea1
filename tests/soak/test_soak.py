"""Given an engine with a fault, when a seed is soaked, then the failure comes with the line that replays it, and small."""

import pytest

from tests.exact.mutants import Mutant, broken
from tests.soak import __main__ as command
from tests.soak import histories

FAULT = Mutant("a group stays when its last row went", "live.aggregate", "AggregateOperator.step", "!= 0", ">= 0")


@pytest.mark.long
def test_a_failure_is_told_with_the_line_that_replays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "SHRINK", 40)
    with broken(FAULT):
        found = [histories.outcome(seed) for seed in range(3)]
    failure = next(failure for one in found for failure in one.failures)
    seed = next(one.seed for one in found if one.failures)
    assert f"replay: make soak SEED={seed} N=1" in failure
    assert "live results differ from the SQL" in failure
    assert "select" in failure
    assert "batch 0: Delivery" in failure


def test_what_can_be_soaked_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tests.soak", "nothing"])
    assert command.main() == 2
    assert "histories|resources" in capsys.readouterr().err
