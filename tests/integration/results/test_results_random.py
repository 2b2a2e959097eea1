"""Whatever deltas and whole tables come, in whatever order and however often: the table is what they add up to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.results.support import CITIES, SCHEMA, Row, changed, city, emptied, epoch, publishing, rows, whole
from topline.results import Snapshot
from topline.results.arrays import MOST_ROWS

_CITIES = st.builds(
    city,
    st.sampled_from(["a", "b", "Z", "é", "", '"', "\\", "NULL", "{,}"])  # few, so that they meet
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
    st.none() | st.sampled_from(["0.0000", "1.0000", "-99999999999999.9999"]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)
_STEPS = st.lists(
    st.tuples(*[st.booleans()] * 3, st.lists(_CITIES, max_size=8), st.lists(_CITIES, max_size=4)),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(steps=_STEPS)
def test_published_deltas_add_up(results_database: str, steps: list[tuple[bool, bool, bool, list[Row], list[Row]]]) -> None:
    emptied(results_database)
    expected: dict[str, Row] = {}
    with publishing(results_database) as publisher:
        publisher.publish(epoch(1, whole([])))
        for number, (staged, replaces, twice, arriving, leaving) in enumerate(steps, 2):
            arrived = {row[1]: row for row in arriving}
            gone = [row for row in leaving if row[1] not in arrived]
            expected = (
                arrived if replaces else {k: v for k, v in expected.items() if k not in {row[1] for row in gone}} | arrived
            )
            change = whole(list(arrived.values())) if replaces else changed(list(arrived.values()), gone=gone)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("topline.results.publisher.MOST_ROWS", -1 if staged else MOST_ROWS)
                for _ in range(1 + twice):
                    publisher.publish(epoch(number, change))
    assert rows(results_database) == sorted(expected.values(), key=lambda row: row[1])
    with Snapshot(results_database, SCHEMA, {"cities": CITIES}) as snapshot:
        assert snapshot.epochs == {"cities": len(steps) + 1}
