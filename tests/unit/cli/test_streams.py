"""What the generator is told on the command line."""

import pytest

from topline.cli.demo import Stream, parse_duration, parse_shares
from topline.errors import UsageError


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("1.5m", 90), ("2h", 7200)])
def test_a_time_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write 30s, 5m or 1h"):
        parse_duration(text)


def test_a_source_that_is_not_named_has_one_share() -> None:
    assert parse_shares([]) == {"shop": 1, "branches": 1, "partner": 1}
    assert parse_shares(["partner=0", " shop=3 "]) == {"shop": 3, "branches": 1, "partner": 0}
    assert Stream.of(40, 7, None, shares=["partner=2"]).shares["partner"] == 2


@pytest.mark.parametrize("text", ["partner", "partner=", "partner=-1", "partner=1.5", "=1", "partners=1", "partner=1000000"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write SOURCE=N with a whole number; the sources are shop, branches, partner"):
        parse_shares([text])
