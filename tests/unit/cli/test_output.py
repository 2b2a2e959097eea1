"""What commands print, word by word."""

from topline.cli.output import counted


def test_one_is_not_many() -> None:
    assert [counted(number, "row") for number in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [counted(number, "batch", "es") for number in (1, 3)] == ["1 batch", "3 batches"]
