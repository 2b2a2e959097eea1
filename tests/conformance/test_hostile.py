"""The suite catches: for each sin of the hostile source, a check that fails; without a sin, all pass."""

import pytest

from tests.conformance import checks, drive
from tests.conformance.checks import CHECKS
from tests.conformance.hostile import ListOrigin, Sin
from tests.conformance.origin import Origin
from tests.conformance.suite import Check, SourceSuite, hold

CAUGHT_BY: dict[Sin, Check] = {
    Sin.SKIPS_AFTER_RESUME: checks.killed_after_any_batch_it_resumes,
    Sin.DOUBLES_WITH_NEW_POSITIONS: checks.resumed_it_gives_later_changes_only_once,
    Sin.LOSES_THE_LAST_ROW: checks.first_read_gives_all,
    Sin.SPLITS_A_TRANSACTION: checks.transactions_are_whole,
    Sin.EMITS_AFTER_CLOSE: checks.close_is_final_and_may_be_repeated,
    Sin.POSITIONS_GO_BACK: checks.changes_arrive,
    Sin.STANDS_BEFORE_ITS_CHANGES: checks.first_read_gives_all,
    Sin.FORGETS_DELETES: checks.changes_arrive,
    Sin.ENDS_TOO_EARLY: checks.end_is_reached_once_all_was_read,
    Sin.LETS_GO_WHEN_READ: checks.unacknowledged_is_not_let_go,
    Sin.SWALLOWS_FAILURES: checks.interrupted_it_says_so_and_recovers,
    Sin.MANGLES_LETTERS: checks.unreadable_records_are_kept,
    Sin.DROPS_NEIGHBOURS: checks.unreadable_records_are_kept,
    Sin.GIVES_A_ROW_WITHOUT_KEY: checks.first_read_gives_all,
    Sin.GIVES_OTHER_TYPES: checks.first_read_gives_all,
    Sin.SHOWS_STALE_ROWS: checks.current_is_the_origin,
    Sin.SECOND_CLOSE_RAISES: checks.close_is_final_and_may_be_repeated,
    Sin.RESYNC_RETRACTS_NOTHING: checks.resync_reads_anew,
    Sin.SKIPS_SMALL_BATCHES: checks.small_batches_give_the_same,
    Sin.CHECK_SEES_GHOSTS: checks.check_finds_nothing_wrong,
}


class TestWithoutSin(SourceSuite):
    @pytest.fixture
    def origin(self) -> Origin:
        return ListOrigin()


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile source is given up soon."""
    monkeypatch.setattr(drive, "SECONDS", 0.5)
    monkeypatch.setattr(checks, "SECONDS", 0.5)


@pytest.mark.parametrize("sin", [sin for sin in Sin if sin is not Sin.NONE])
def test_caught(sin: Sin) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        CAUGHT_BY[sin](ListOrigin(sin))


def test_every_check_catches_a_sin_or_is_caught_by_another() -> None:
    """A check that no hostile source fails proves nothing."""
    idle = [check.__name__ for check in CHECKS if not any(_fails(check, sin) for sin in Sin)]
    assert idle == []


def _fails(check: Check, sin: Sin) -> bool:
    try:
        check(ListOrigin(sin))
    except (AssertionError, RuntimeError):
        return True
    return False


def test_a_stale_waiver_fails() -> None:
    origin = ListOrigin()
    origin.waivers = {"first_read_gives_all": "it once did not"}  # type: ignore[misc]
    with pytest.raises(AssertionError, match="stale"):
        hold(origin, checks.first_read_gives_all)
