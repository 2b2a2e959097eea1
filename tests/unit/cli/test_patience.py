"""How long `topline run --until-idle` waits for a source that does not answer."""

from topline.cli.running import Patience
from topline.sources.reader import ReaderState, Status

DOWN = ReaderState(Status.RETRYING, error="connection refused")
UP = ReaderState(Status.RUNNING)


def given_up(*looks: ReaderState) -> str:
    """What a patience of two seconds says after a look a second."""
    seconds = [0.0]
    patience = Patience(2, clock=lambda: seconds[0])
    for state in looks:
        patience.look({"shop": state, "branches": UP})
        seconds[0] += 1
    return patience.tired


def test_a_source_that_is_down_all_the_time_is_given_up_by_name() -> None:
    assert given_up(DOWN, DOWN) == ""
    assert given_up(DOWN, DOWN, DOWN) == "source shop does not answer: connection refused"


def test_one_that_answers_in_between_is_not() -> None:
    assert given_up(DOWN, DOWN, UP, DOWN, DOWN) == ""
