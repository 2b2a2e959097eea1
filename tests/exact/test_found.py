"""What random histories found, each as small as it was shrunk to; each stays as a test of its own."""

from datetime import date

from tests.exact.history import changes_of
from tests.exact.models import by_hand
from tests.exact.pipe import Pipe
from topline.changes import UPSERT, SourceBatch


def test_a_row_that_comes_and_changes_in_one_part_leaves_out_values() -> None:
    """Given a part in which a new row comes whole, then without some values, then these are those that it came with."""
    made = by_hand({"m": "select number, day, city, paid from {{ source('branches', 'sales') }}"})
    schema = made.tables["branches.sales"].schema
    day = date(2026, 1, 1)
    rows = [
        (-1, "S2", day, "0", "Zürich", True),
        (-1, None, day, None, "Zürich", False),
        (2, "s2", date(1969, 12, 31), "0.00005", "Zürich", False),
        (1, "s2", day, "", "", False),
    ]
    kept = 1 << 1 | 1 << 3
    part = changes_of(schema, "a.csv", 1, [(UPSERT, row, kept if number == 1 else 0) for number, row in enumerate(rows)])
    with Pipe(made.plan()) as pipe:
        pipe.feed([SourceBatch("branches", (part,))])
        assert ("S2", "0", 0) in [(row[1], row[3], row[5]) for row in pipe.tables()["branches.sales"]]
