"""What commands print, word by word."""

import pytest

from topline.cli.output import counted


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (1, "row", "1 row"),
        (0, "row", "0 rows"),
        (2000, "dead letter", "2,000 dead letters"),
        (1, "batch", "1 batch"),
        (3, "batch", "3 batches"),
    ],
)
def test_one_is_not_many(number: int, noun: str, told: str) -> None:
    assert counted(number, noun) == told
