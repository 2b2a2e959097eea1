"""The state's building blocks against Python's own dictionaries, lists and strings."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.errors import SourceHalted
from topline.live.arrangement import Arrangement
from topline.live.arrays import NULL, Columns, Ints, group_rows, grown, matrix, take, with_room
from topline.live.codec import decode_column, encode_column
from topline.live.delta import Delta
from topline.live.hashindex import HashIndex
from topline.live.interner import Interner
from topline.live.kernels import groups as group_kernels
from topline.live.kernels import ordered
from topline.live.kernels.shapes import PAGE_BITS
from topline.live.keyedside import KeyedSide
from topline.live.rowstore import RowStore, layout_of, narrow
from topline.live.sortedindex import Sort, SortedIndex
from topline.schema import Column, Type

texts = st.lists(
    st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["abcdefgh", "abcdefgh\0", "abcdefghi", "abcdefg"]))
)


def ints(values: list[int] | list[list[int]]) -> Ints:
    return np.array(values, np.int64)


# text


@given(texts, texts)
def test_text_comes_back_and_a_string_has_one_code(one: list[str | None], other: list[str | None]) -> None:
    interner = Interner()
    first, second = interner.intern(pa.array(one, pa.string())), interner.intern(pa.array(other, pa.string()))
    assert interner.text(first).to_pylist() == one
    assert interner.text(second).to_pylist() == other
    codes = dict(zip(one + other, [*first, *second], strict=True))
    assert len(interner) == len(set(codes.values()) - {NULL})
    assert codes.get(None, NULL) == NULL


@given(st.lists(st.one_of(st.text(max_size=20), st.text("\0ab\x7f\x80", max_size=6)), min_size=1))
def test_text_sorts_by_its_bytes(words: list[str]) -> None:
    interner = Interner()
    codes = interner.intern(pa.array(words, pa.string()))
    for descending in (False, True):
        index = SortedIndex([Sort(Type.TEXT, descending)], interner)
        index.update(np.zeros(len(words), np.int64), codes[None], np.ones(len(words), np.int64))
        found = interner.text(index.first(ints([0]), len(words))[1][0]).to_pylist()
        assert found == sorted(set(words), key=str.encode, reverse=descending)


numbers = st.one_of(st.integers(-9, 9), st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from([NULL, 1 - 2**63, 2**63 - 1]))


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1) | st.integers(0, 1), numbers), min_size=1), st.booleans(), st.booleans())
def test_numbers_far_apart_and_close_together_sort(rows: list[tuple[int, int]], descending: bool, nulls_first: bool) -> None:
    index = SortedIndex([Sort(Type.BIGINT, descending, nulls_first)], Interner())
    groups, values = (ints([row[place] for row in rows]) for place in range(2))
    index.update(groups, values[None], np.ones(len(rows), np.int64))
    asked = sorted(set(groups.tolist()))
    which, found = index.first(ints(asked), len(rows))
    edge = -(2**64) if nulls_first else 2**64
    keyed = {(group, edge if value == NULL else (-value if descending else value), value) for group, value in rows}
    assert [(asked[g], v) for g, v in zip(which, found[0], strict=True)] == [(g, v) for g, _, v in sorted(keyed)]


@pytest.mark.parametrize("strings", [2**PAGE_BITS - 1, 2**PAGE_BITS, 2**PAGE_BITS + 1])
def test_text_goes_on_behind_a_page_of_strings(strings: int) -> None:
    interner, words = Interner(), pa.array([f"{number:x}" for number in range(strings)])
    assert interner.intern(words).tolist() == list(range(strings))
    assert interner.text(np.arange(strings)).equals(words)
    restored = Interner()
    restored.restore(interner.arrays())
    assert restored.intern(pa.array(["one more", "0", words[-1].as_py()])).tolist() == [strings, 0, strings - 1]
    assert restored.text(ints([strings, strings - 1])).to_pylist() == ["one more", words[-1].as_py()]


def test_unknown_text_gets_no_code_when_it_is_only_asked_for() -> None:
    interner = Interner()
    interner.intern(pa.array(["here"]))
    assert interner.intern(pa.array(["here", "there", None]), add=False).tolist() == [0, -1, NULL]
    assert len(interner) == 1


def test_a_dictionary_that_repeats_itself_gives_one_code() -> None:
    repeated = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None]), pa.array(["a", "b", "a"]))
    assert Interner().intern(repeated).tolist() == [0, 1, 0, NULL]


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (Type.BIGINT, [1, None, -(2**63) + 1, 2**63 - 1]),
        (Type.DECIMAL, [Decimal("-0.0001"), None, Decimal("99999999999999.9999"), Decimal("-99999999999999.9999")]),
        (Type.DATE, [date(1969, 12, 31), None, date(9999, 12, 31)]),
        (Type.TIMESTAMP, [datetime(1969, 12, 31, 23, 59, 59, 999999), None]),
        (Type.TIMESTAMPTZ, [datetime(2026, 1, 1, tzinfo=UTC), None]),
        (Type.BOOLEAN, [True, None, False]),
        (Type.TEXT, ["é", None, ""]),
    ],
)
def test_every_type_comes_back(type_: Type, values: list[object]) -> None:
    interner, column = Interner(), Column("x", type_)
    whole = pa.chunked_array([pa.array([None, *values], type_.arrow).slice(1)])  # an array that does not begin at its buffer
    encoded = encode_column(whole, column, interner)
    assert decode_column(encoded, type_, interner).to_pylist() == values


def test_the_number_that_stands_for_null_is_refused() -> None:
    with pytest.raises(SourceHalted, match="column x holds -9223372036854775808"):
        encode_column(pa.chunked_array([[None, -(2**63)]]), Column("x", Type.BIGINT), Interner())


# rows by key


@pytest.mark.parametrize("types", [(Type.BIGINT, Type.DECIMAL), (Type.BIGINT, Type.TEXT), (Type.TEXT, Type.DATE)])
@pytest.mark.parametrize("seed", range(3))
def test_a_row_store_is_a_dictionary(seed: int, types: tuple[Type, ...]) -> None:
    random, store, truth = Random(seed), RowStore([*narrow(types), False], 2), dict[tuple[int, int], int]()
    for _ in range(80):
        keys = list({(random.randrange(40), random.choice([NULL, 0, -1, 2])) for _ in range(random.choice([0, 1, 5, 60]))})
        columns = matrix([ints([key[0] for key in keys]), ints([key[1] for key in keys])], len(keys))
        rows = store.find(columns)
        held = np.flatnonzero(rows >= 0)
        assert store.get(2, rows[held]).tolist() == [truth[keys[place]] for place in held]
        assert len(held) == sum(key in truth for key in keys)
        gone = held[: random.randrange(50)]
        store.remove(rows[gone])
        truth = {key: value for key, value in truth.items() if key not in {keys[place] for place in gone}}
        more = ints([random.choice([1, -(2**62), 2**40]) for _ in held[len(gone) :]])
        changed = store.add_to(2, rows[held[len(gone) :]], more).tolist()
        truth |= {keys[place]: value for place, value in zip(held[len(gone) :], changed, strict=True)}
        fresh = np.flatnonzero(rows < 0)
        values = ints([random.choice([random.randrange(-100, 100), 2**61]) for _ in fresh])
        store.add(np.concatenate([take(columns, fresh), values[None]]))
        truth |= {keys[place]: int(value) for place, value in zip(fresh, values, strict=True)}
        assert len(store) == len(truth)
        kept = {key: value % 2**20 for key, value in truth.items()}
        store.put(2, store.rows(), store.get(2, store.rows())[None] % 2**20)
        truth = kept
    assert sorted(zip(*(c.tolist() for c in store.take(store.rows())), strict=True)) == sorted(
        (*k, v) for k, v in truth.items()
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=150))
def test_equal_and_neighbouring_hashes_of_different_rows_are_told_apart(steps: list[tuple[int, bool]]) -> None:
    """All want the last places of the table, so that searches, holes and what was pushed past them go round its end."""
    index, stored = HashIndex(), np.arange(10, dtype=np.int32)[:, None]
    hashes = np.array([((2**32 - 1 - number // 2) << 32) + number for number in range(10)], np.uint64)
    held = set[int]()
    for number, wanted in steps:
        row = ints([number])
        if wanted and number not in held:
            index.add(hashes[row], row)
            held.add(number)
        elif not wanted and number in held:
            index.remove(hashes[row], row)
            held.remove(number)
        found = index.find(np.arange(10)[None], hashes, stored, layout_of([True]))
        assert found.tolist() == [number if number in held else -1 for number in range(10)]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([NULL, 0, 1])), max_size=60), st.booleans())
def test_rows_are_grouped_by_their_values(rows: list[tuple[int, int]], collide: bool) -> None:
    columns = matrix([ints([row[0] for row in rows]), ints([row[1] for row in rows])], len(rows))
    groups = group_rows(columns, np.zeros(len(rows), np.uint64) if collide else None)
    distinct = list(dict.fromkeys(rows))
    assert [rows[place] for place in groups.first] == distinct
    assert [distinct[number] for number in groups.numbers] == rows
    assert [rows[place] for place in groups.last()] == distinct
    assert groups.last().tolist() == [len(rows) - 1 - rows[::-1].index(row) for row in distinct]
    assert groups.sums(np.arange(len(rows))).tolist() == [sum(p for p, r in enumerate(rows) if r == row) for row in distinct]
    order, starts = groups.ordered()
    assert order.tolist() == [place for row in distinct for place, other in enumerate(rows) if other == row]
    assert np.diff(starts).tolist() == [rows.count(row) for row in distinct]


whole = st.one_of(st.integers(-(2**63) + 1, 2**63 - 1), st.just(NULL))


@given(st.lists(st.tuples(st.integers(0, 2), whole, st.integers(-3, 3)), max_size=40))
def test_sums_are_exact_past_64_bits(rows: list[tuple[int, int, int]]) -> None:
    group, values, weights = (ints([row[place] for row in rows]) for place in range(3))
    high, low, known = group_kernels.wide_sums(group, 3, values, weights)
    counted = [[(value, weight) for number, value, weight in rows if number == g and value != NULL] for g in range(3)]
    assert [(int(h) << 32) + int(rest) for h, rest in zip(high, low, strict=True)] == [
        sum(value * weight for value, weight in pairs) for pairs in counted
    ]
    assert known.tolist() == [sum(weight for _, weight in pairs) for pairs in counted]


@pytest.mark.parametrize("seed", range(3))
def test_an_arrangement_is_a_dictionary_of_counters(seed: int) -> None:
    random, arrangement = Random(seed), Arrangement([Type.BIGINT, Type.TEXT], [0])
    truth: Counter[tuple[int, int]] = Counter()
    for step in range(120):
        growing = step % 40 < 20
        change: Counter[tuple[int, int]] = Counter()
        for _ in range(random.choice([1, 3, 80])):
            row = (random.randrange(12), random.randrange(200))
            change[row] = random.choice([1, 2]) if growing else -truth[row]
        rows = [row for row, weight in change.items() if weight]
        columns = matrix([ints([r[0] for r in rows]), ints([r[1] for r in rows])], len(rows))
        arrangement.update(Delta(columns, ints([change[r] for r in rows]), settled=True))
        for row in rows:
            truth[row] += change[row]
        truth = Counter({row: weight for row, weight in truth.items() if weight})
        asked = list(range(13))
        which, found = arrangement.match(ints(asked)[None])
        columns, weights = arrangement.take(found)
        assert (columns[0] == ints(asked)[which]).all()
        assert Counter(dict(zip(zip(*(c.tolist() for c in columns), strict=True), weights.tolist(), strict=True))) == truth
        assert len(found) == len(truth) == len(arrangement)
        assert arrangement.counts(ints(asked)[None]).tolist() == [sum(1 for row in truth if row[0] == key) for key in asked]


@pytest.mark.parametrize("seed", range(3))
def test_a_keyed_side_gives_what_an_arrangement_gives(seed: int) -> None:
    random, types = Random(seed), (Type.TEXT, Type.BIGINT, Type.TEXT)
    keyed, arrangement, truth = KeyedSide(types, [2, 0]), Arrangement(types, [2, 0]), dict[tuple[int, int], int]()
    for _ in range(60):
        touched = {(random.randrange(9), random.randrange(9)) for _ in range(random.choice([1, 4, 60]))}
        after = {key: random.choice([None, 1, 2]) for key in touched}
        changes = [(key, truth.get(key), after[key]) for key in touched if truth.get(key) != after[key]]
        rows = [(key[0], old, key[1], -1) for key, old, _ in changes if old is not None]
        rows += [(key[0], new, key[1], 1) for key, _, new in changes if new is not None]
        columns = matrix([ints([row[place] for row in rows]) for place in range(4)], len(rows))
        for side in (keyed, arrangement):
            side.update(Delta(columns[:3], columns[3], settled=True))
        truth = {key: value for key, value in (truth | after).items() if value is not None}
        asked = np.stack([np.arange(100) % 10, np.arange(100) // 10])
        assert keyed.counts(asked).tolist() == arrangement.counts(asked).tolist()
        assert _matches(keyed, asked) == _matches(arrangement, asked)
        assert len(keyed) == len(truth)


def test_a_key_may_name_a_column_twice() -> None:
    for side in (KeyedSide([Type.BIGINT, Type.TEXT], [0, 0]), Arrangement([Type.BIGINT, Type.TEXT], [0, 0])):
        side.update(Delta(ints([[1, 2], [7, 8]]), ints([1, 1]), settled=True))
        assert _matches(side, ints([[1, 1, 2], [1, 2, 2]])) == [[0, 1, 7, 1], [2, 2, 8, 1]]


def _matches(side: KeyedSide | Arrangement, asked: Columns) -> list[list[int]]:
    which, rows = side.match(asked)
    columns, weights = side.take(rows)
    return sorted(list(row) for row in zip(which.tolist(), *(c.tolist() for c in columns), weights.tolist(), strict=True))


# rows in order


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
@pytest.mark.parametrize("type_", [Type.TEXT, Type.BIGINT])
def test_a_sorted_index_is_a_sorted_list(descending: bool, nulls_first: bool, type_: Type) -> None:
    random, interner = Random(5), Interner()
    words = sorted(["", "a", "b", *(f"the same long beginning {number:02}" for number in range(60))])
    values = (
        interner.intern(pa.array(words)).tolist()
        if type_ is Type.TEXT
        else sorted({2**63 - 1, *random.sample(range(-999, 999), 80), 1 - 2**63})
    )
    rank = {value: -place if descending else place for place, value in enumerate(values)}
    rank[NULL] = -1000 if nulls_first else 1000
    index = SortedIndex([Sort(type_, descending, nulls_first), Sort(Type.TEXT, by_code=True)], interner)
    truth: Counter[tuple[int, int, int]] = Counter()
    for step in range(24):
        picked = [
            (random.randrange(6), random.choice(list(rank)), random.randrange(30)) for _ in range(random.choice([1, 9, 600]))
        ]
        picked = picked if step % 12 < 6 else list(set(picked))
        change = [(row, 1 if step % 12 < 6 else -truth[row]) for row in picked]
        columns = [ints([row[place] for row, _ in change]) for place in range(3)]
        index.update(columns[0], np.stack(columns[1:]), ints([weight for _, weight in change]))
        for row, weight in change:
            truth[row] += weight
        truth = Counter({row: weight for row, weight in truth.items() if weight})
        assert len(index) == len(truth)
        if step == 11:
            arrays = index.arrays()
            index = SortedIndex([Sort(type_, descending, nulls_first), Sort(Type.TEXT, by_code=True)], interner)
            index.restore(arrays)
        for limit in (1, 3, 500):
            which, found = index.first(ints([3, 0, 77, 5]), limit)
            got = list(zip(which.tolist(), *(column.tolist() for column in found), strict=True))
            wanted = [sorted((rank[row[1]], row) for row in truth if row[0] == group)[:limit] for group in (3, 0, 77, 5)]
            assert got == [(number, row[1], row[2]) for number, rows in enumerate(wanted) for _, row in rows]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=30), room=st.integers(0, 4))
def test_blocks_are_put_in_place_of_others(pieces: list[int | None], room: int) -> None:
    """`pieces`: of each block in order, into how many it is cut; None: it is not touched."""
    fresh = iter(range(100, 200))
    kept: list[list[int]] = [[n] if p is None else [n, *(next(fresh) for _ in range(p - 1))][:p] for n, p in enumerate(pieces)]
    targets = [block for blocks, p in zip(kept, pieces, strict=True) if p is not None for block in blocks]
    wanted = [block for blocks in kept for block in blocks]
    order = np.full(max(len(pieces), len(wanted)) + room, -1)
    order[: len(pieces)] = np.arange(len(pieces))
    touched = [n for n, p in enumerate(pieces) if p is not None]
    count = ordered.splice(order, len(pieces), ints(touched), ints([p for p in pieces if p is not None]), ints(targets))
    assert order[:count].tolist() == wanted


def test_room_for_more_is_ample_but_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.arange(800).reshape(100, 8)
    assert [len(grown(rows, 100, needed)) for needed in (100, 101, 1000)] == [100, 300, 1500]
    monkeypatch.setattr("topline.live.arrays._SPARE", 64 * 20)
    assert len(grown(rows, 100, 101)) == 121
    monkeypatch.setattr("topline.live.arrays._SPARE", 0)
    assert len(grown(rows, 100, 101)) == 112
    assert (grown(rows, 100, 101)[:100] == rows).all()


def test_what_has_room_behind_it_grows_without_a_copy() -> None:
    rows = with_room((100, 8), "<i8")
    rows[:] = np.arange(800).reshape(100, 8)
    larger = grown(rows, 100, 150)
    assert (len(rows), len(larger), np.shares_memory(rows, larger)) == (100, 150, True)
    largest = grown(larger, 150, 151)
    assert (len(largest), np.shares_memory(rows, largest)) == (450, False)
    assert (largest[:100] == np.arange(800).reshape(100, 8)).all()
    assert len(grown(with_room((0,), "<i8"), 0, 3)) == 16


def test_a_row_that_was_never_there_cannot_go() -> None:
    index = SortedIndex([Sort(Type.BIGINT)], Interner())
    index.update(ints([1, 1]), ints([[5, 7]]), ints([1, 1]))
    with pytest.raises(AssertionError, match="never there"):
        index.update(ints([1]), ints([[6]]), ints([-1]))
