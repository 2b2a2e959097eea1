"""What is known of a table's rows survives in the source's memory, and costs what changed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.sources.polled.known import Known, fingerprint

KEYS = st.integers(0, 30).map(str)
STEPS = st.lists(st.tuples(KEYS, st.one_of(st.none(), st.integers(0, 3))), max_size=8)


def put(memory: dict[str, bytes], changes: dict[str, bytes | None]) -> None:
    for name, raw in changes.items():
        if raw is None:
            del memory[name]
        else:
            memory[name] = raw


@given(st.lists(STEPS, max_size=12))
def test_loaded_from_memory_it_knows_the_same(batches: list[list[tuple[str, int | None]]]) -> None:
    memory: dict[str, bytes] = {}
    known, truth = Known("t:", True), dict[str, bytes]()
    for steps in batches:
        for key, value in steps:
            print_ = None if value is None else fingerprint([key, value])
            assert known.is_news(key, print_) == (truth.get(key) != print_)
            truth.pop(key, None) if print_ is None else truth.update({key: print_})
        put(memory, known.changes())
        loaded = Known.load("t:", True, memory)
        assert loaded.prints == truth


def test_a_small_change_writes_little_whatever_the_table() -> None:
    memory: dict[str, bytes] = {}
    known = Known("t:", True)
    for number in range(50_000):
        known.note(str(number), fingerprint([number]))
    put(memory, known.changes())
    written = []
    for turn in range(100):
        known.note(str(random.Random(turn).randrange(50_000)), fingerprint(["changed", turn]))
        changes = known.changes()
        written.append(sum(len(raw) for raw in changes.values() if raw))
        put(memory, changes)
    assert sum(written) / len(written) < 3_000
    assert len(memory) < 12
    assert Known.load("t:", True, memory).prints == known.prints


def test_what_is_stale_is_cleared_away() -> None:
    memory: dict[str, bytes] = {}
    known = Known("t:", True)
    for turn in range(40):
        for number in range(1_000):
            known.note(str(number), fingerprint([turn, number]))
        put(memory, known.changes())
    assert sum(map(len, memory.values())) < 200_000


def test_not_stored_it_writes_nothing_and_forgets_what_was_not_seen() -> None:
    known = Known("t:", False)
    assert known.is_news("a", b"1")
    assert known.is_news("b", None)
    assert not known.is_news("b", None), "a row that is gone is told once"
    known.retain({"a"})
    assert known.changes() == {}
    assert ("a" in known, "b" in known) == (True, False)


@pytest.mark.parametrize(("one", "other"), [(("1", "2"), ("12", "")), ((None,), ("None",)), ((1,), ("1",)), ((True,), (1,))])
def test_other_rows_have_other_fingerprints(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert fingerprint(one) != fingerprint(other)
