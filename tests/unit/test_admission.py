"""What is at or below a committed position is dropped, wherever a source begins again."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.changes import UPSERT, DeadLetter, Ints, Ops, Position, SchemaChange, SourceBatch, Sweep, TableChanges
from topline.live import admission as admission_module
from topline.live.admission import Admission, joined
from topline.schema import TableSchema


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


@settings(deadline=None)  # a busy machine must not pass for a fault
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


# transactions in parts


def letter(partition: str, hi: int, lo: int) -> DeadLetter:
    return DeadLetter("shop.orders", partition, Position(hi, lo), b"?", "unreadable", f"line {lo}")


def part(positions: list[tuple[int, int]], **more: object) -> SourceBatch:
    return replace(batch(positions, complete=False), positions={}, **more)  # type: ignore[arg-type]


def taken(admission: Admission, *batches: SourceBatch) -> list[SourceBatch]:
    """The batches in which a large transaction is folded."""
    for one in batches:
        assert admission.admit(one) is None
    large = admission.take_large()
    assert large is not None
    assert (large.source, admission.take_large()) == ("shop", None)
    return list(large.batches)


def test_what_its_parts_remember_and_could_not_read_comes_with_the_last_one() -> None:
    admission = Admission({})
    admission.admit(part([(1, 1)], memory={"a": b"1", "b": b"1"}, dead_letters=(letter("", 1, 2),)))
    admission.admit(part([(1, 2)]))
    whole = admission.admit(replace(batch([(1, 3)]), memory={"b": b"2"}, dead_letters=(letter("x", 1, 4),)))
    assert whole is not None
    assert (whole.memory, [x.position.lo for x in whole.dead_letters]) == ({"a": b"1", "b": b"2"}, [2, 4])
    assert (whole.positions, whole.complete, ids(whole)) == ({"": Position(1, 3)}, True, ["1.1", "1.2", "1.3"])


@pytest.mark.parametrize(("most", "large"), [(3, False), (2, True)])
def test_a_transaction_of_more_rows_than_a_batch_takes_is_folded_in_parts(most: int, large: bool) -> None:
    admission = Admission({}, most)
    batches = [part([(1, 1), (1, 2)]), batch([(1, 3)])]
    found = [admission.admit(one) for one in batches]
    assert (found[-1] is None, admission.take_large() is not None) == (large, large)


def test_a_transaction_of_many_bytes_is_folded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission_module._AT_ONCE_BYTES == 64 << 20
    monkeypatch.setattr(admission_module, "_AT_ONCE_BYTES", 1000)
    assert len(taken(Admission({}), part([(1, 1)]), batch([(1, 2)]))) == 2


def test_of_a_large_transaction_the_last_part_alone_has_its_positions(tmp_path: Path) -> None:
    admission = Admission({"shop": {"": Position(1, 2)}}, 1, tmp_path)
    first = part([(1, 1), (1, 3)], memory={"k": b"1"}, dead_letters=(letter("", 1, 2), letter("", 1, 4)))
    found = taken(admission, first, replace(batch([(1, 5)]), memory={"m": b"2"}))
    assert [ids(one) for one in found] == [["1.3"], ["1.5"]]
    assert [one.complete for one in found] == [False, True]
    assert [one.positions for one in found] == [{}, {"": Position(1, 5)}]
    assert [one.memory for one in found] == [{}, {"k": b"1", "m": b"2"}]
    assert [one.time is None for one in found] == [True, False]
    assert [[x.position.lo for x in one.dead_letters] for one in found] == [[4], []]
    assert ids(admission.admit(batch([(1, 5), (1, 6)]))) == ["1.6"]


def test_a_large_transaction_that_is_a_replay_is_nothing() -> None:
    admission = Admission({"shop": {"": Position(1, 9)}}, 1)
    assert admission.admit(part([(1, 1), (1, 2)])) is None
    admitted = admission.admit(batch([(1, 3)]))
    assert admitted is not None
    assert (ids(admitted), admitted.positions, admission.take_large()) == ([], {}, None)


def test_a_large_transaction_without_positions_of_its_own_is_new() -> None:
    admission = Admission({"shop": {"": Position(1, 0)}}, 1)
    assert [ids(one) for one in taken(admission, part([(1, 1)]), replace(batch([(1, 2)]), positions={}))] == [["1.1"], ["1.2"]]


def test_what_is_forgotten_is_forgotten_with_its_open_transaction() -> None:
    admission = Admission({})
    admission.admit(part([(1, 1)]))
    admission.forget("shop", {})
    admission.forget("other", {})
    assert ids(admission.admit(batch([(1, 2)]))) == ["1.2"]


# what is new


def test_a_replay_brings_no_old_memory_back_and_no_letter_again() -> None:
    admission = Admission({"shop": {"": Position(5, 5), "x": Position(1, 1)}})
    letters = (letter("", 5, 5), letter("", 5, 6), letter("y", 1, 1))
    old = replace(batch([(5, 4), (5, 5)]), memory={"k": b"old"}, dead_letters=letters)
    admitted = admission.admit(old)
    assert admitted is not None
    assert (admitted.parts, admitted.memory, admitted.positions) == ((), {}, {})
    assert [(x.partition, x.position.lo) for x in admitted.dead_letters] == [("", 6), ("y", 1)]


def test_what_a_source_only_remembers_is_taken() -> None:
    admitted = Admission({"shop": {"": Position(5, 5)}}).admit(SourceBatch("shop", memory={"k": b"new"}))
    assert admitted is not None
    assert admitted.memory == {"k": b"new"}


def test_partitions_stand_each_by_itself() -> None:
    admission = Admission({"shop": {"": Position(5, 5)}})
    moved = replace(batch([(5, 5)]), positions={"": Position(5, 5), "x": Position(1, 0)}, memory={"k": b"v"})
    admitted = admission.admit(moved)
    assert admitted is not None
    assert (admitted.positions, admitted.memory) == ({"x": Position(1, 0)}, {"k": b"v"})
    assert ids(admission.admit(batch([(5, 5), (6, 0)]))) == ["6.0"]


def test_new_columns_are_always_told_and_a_sweep_of_a_partition_stands_where_it_does() -> None:
    admission = Admission({"shop": {"a": Position(5, 5)}})
    told = SchemaChange("shop.orders", TableSchema("shop.orders", (), ()))
    sweeps = [Sweep("shop.orders", "a", 5, Position(5, lo)) for lo in (5, 6)]
    other = Sweep("shop.orders", None, None, Position(1, 1))
    admitted = admission.admit(SourceBatch("shop", (told, *sweeps, other)))
    assert admitted is not None
    assert admitted.parts == (told, sweeps[1], other)


def test_unchanged_values_stay_with_their_rows() -> None:
    admission = Admission({"shop": {"": Position(1, 1)}})
    whole = replace(changes([(1, 1), (1, 2), (1, 3)]), unchanged=np.array([1, 2, 4]))
    admitted = admission.admit(SourceBatch("shop", (whole,), {"": Position(1, 3)}))
    assert admitted is not None
    (fresh,) = admitted.parts
    assert isinstance(fresh, TableChanges)
    assert fresh.unchanged is not None
    assert (fresh.unchanged.tolist(), fresh.lo.tolist(), fresh.hi.tolist(), len(fresh)) == ([2, 4], [2, 3], [1, 1], 2)
    (one,) = joined([changes([(1, 0)]), fresh])
    assert isinstance(one, TableChanges)
    assert one.unchanged is not None
    assert one.unchanged.tolist() == [0, 2, 4]
    (plain,) = joined([changes([(1, 0)]), changes([(1, 1)])])
    assert isinstance(plain, TableChanges)
    assert plain.unchanged is None


def test_large_parts_and_parts_of_other_partitions_travel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert admission_module._JOINED == 100_000
    monkeypatch.setattr(admission_module, "_JOINED", 3)
    one, two, other = changes([(1, 1), (1, 2)]), changes([(1, 3)]), replace(changes([(1, 4)]), partition="x")
    assert [len(part) for part in joined([one, two]) if isinstance(part, TableChanges)] == [3]
    assert [len(part) for part in joined([one, one]) if isinstance(part, TableChanges)] == [2, 2]
    assert [len(part) for part in joined([one, other, two]) if isinstance(part, TableChanges)] == [2, 1, 1]
