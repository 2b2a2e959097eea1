"""What is at or below a committed position is dropped, wherever a source begins again."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from topline.changes import UPSERT, Ints, Ops, Position, SourceBatch, Sweep, TableChanges
from topline.live.admission import Admission, joined


def changes(positions: list[tuple[int, int]]) -> TableChanges:
    hi, lo = (np.array([p[i] for p in positions], dtype=np.int64) for i in (0, 1))
    rows = pa.table({"id": [f"{h}.{x}" for h, x in positions]})
    return TableChanges("shop.orders", "", rows, np.full(len(positions), UPSERT, np.int8), hi, lo)


def batch(positions: list[tuple[int, int]], **more: object) -> SourceBatch:
    part = changes(positions)
    stands = {"": Position(*positions[-1])} if positions else {}
    return SourceBatch("shop", (part,), stands, time=datetime.now(UTC), **more)  # type: ignore[arg-type]


def ids(admitted: SourceBatch | None) -> list[str]:
    assert admitted is not None
    return [name for part in admitted.parts if isinstance(part, TableChanges) for name in part.rows["id"].to_pylist()]


ordered = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20, unique=True).map(sorted)


@given(ordered, st.lists(st.integers(0, 20), max_size=6))
def test_however_often_an_old_prefix_comes_again_each_change_is_admitted_once(
    history: list[tuple[int, int]], restarts: list[int]
) -> None:
    admission = Admission({})
    seen: list[str] = []
    for start in [0, *restarts, 0]:
        begin = min(start, len(seen))  # a source may replay, never skip
        for at in range(begin, len(history)):
            seen += ids(admission.admit(batch(history[at : at + 2])))
    assert seen == [f"{h}.{x}" for h, x in history]


def test_a_transaction_in_parts_is_admitted_whole_with_its_last_part() -> None:
    admission = Admission({})
    assert admission.admit(batch([(1, 1)], complete=False)) is None
    assert ids(admission.admit(batch([(1, 2)]))) == ["1.1", "1.2"]


def test_parts_of_a_transaction_from_before_a_reopening_are_dropped() -> None:
    admission = Admission({})
    assert admission.admit(batch([(1, 1), (1, 2)], complete=False, opening=1)) is None
    assert admission.admit(batch([(1, 1)], complete=False, opening=2)) is None
    assert ids(admission.admit(batch([(1, 2), (1, 3)], opening=2))) == ["1.1", "1.2", "1.3"]


def test_what_was_refused_is_admitted_when_it_comes_again() -> None:
    admission = Admission({"shop": {"": Position(1, 0)}})
    assert ids(admission.admit(batch([(2, 1)]))) == ["2.1"]
    admission.forget("shop", {"": Position(1, 0)})
    assert ids(admission.admit(batch([(2, 1)]))) == ["2.1"]


def test_a_replayed_truncate_is_dropped() -> None:
    admission = Admission({"shop": {"": Position(7, 3)}})
    old, new = (Sweep("shop.orders", None, None, Position(7, lo)) for lo in (3, 4))
    admitted = admission.admit(SourceBatch("shop", (old, new)))
    assert admitted is not None
    assert admitted.parts == (new,)


def test_small_parts_of_one_table_and_partition_travel_as_one_and_keep_their_order() -> None:
    sweep = Sweep("shop.orders", None, None, Position(2, 1))
    other = TableChanges("shop.items", "", *_columns([(1, 2)]))
    together = joined([changes([(1, 1)]), other, changes([(1, 3)]), sweep, changes([(3, 1)])])
    assert [(part.table, len(part) if isinstance(part, TableChanges) else "sweep") for part in together] == [
        ("shop.orders", 2),
        ("shop.orders", "sweep"),
        ("shop.orders", 1),
        ("shop.items", 1),
    ]
    first = together[0]
    assert isinstance(first, TableChanges)
    assert first.rows["id"].to_pylist() == ["1.1", "1.3"]
    assert first.lo.tolist() == [1, 3]


def _columns(positions: list[tuple[int, int]]) -> tuple[pa.Table, Ops, Ints, Ints]:
    made = changes(positions)
    return made.rows, made.ops, made.hi, made.lo
