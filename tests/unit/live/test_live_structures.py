"""The state's building blocks against Python's own dictionaries, lists and strings."""

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.errors import SourceHalted
from topline.live.arrangement import Arrangement
from topline.live.arrays import NULL, Ints, group_rows
from topline.live.codec import decode_column, encode_column
from topline.live.delta import Delta
from topline.live.hashindex import HashIndex
from topline.live.interner import Interner
from topline.live.keyedside import KeyedSide
from topline.live.rowstore import RowStore
from topline.live.sortedindex import Sort, SortedIndex, sorted_order
from topline.schema import Column, Type

texts = st.lists(
    st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["abcdefgh", "abcdefgh\0", "abcdefghi", "abcdefg"]))
)


def ints(values: list[int]) -> Ints:
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


@given(st.lists(st.text(max_size=20), min_size=2))
def test_text_sorts_by_its_bytes(words: list[str]) -> None:
    interner = Interner()
    codes = interner.intern(pa.array(words, pa.string()))
    by_bytes = sorted(words, key=str.encode)
    assert [words[place] for place in np.argsort(interner.ranks(codes), kind="stable")] == by_bytes
    signs = interner.compare(codes[:-1], codes[1:])
    pairs = pairwise(words)
    assert list(signs) == [(a.encode() > b.encode()) - (a.encode() < b.encode()) for a, b in pairs]


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


@pytest.mark.parametrize("types", [(), (Type.BIGINT, Type.TEXT), (Type.TEXT, Type.DATE)])
@pytest.mark.parametrize("seed", range(3))
def test_a_row_store_is_a_dictionary(seed: int, types: tuple[Type, ...]) -> None:
    random, store, truth = Random(seed), RowStore(3, 2, types), dict[tuple[int, int], int]()
    for _ in range(80):
        keys = list({(random.randrange(40), random.choice([NULL, 0, 1, 2])) for _ in range(random.choice([0, 1, 5, 60]))})
        columns = [ints([key[0] for key in keys]), ints([key[1] for key in keys])]
        rows = store.find(columns)
        assert [int(store.columns[2][row]) if row >= 0 else None for row in rows] == [truth.get(key) for key in keys]
        held = np.flatnonzero(rows >= 0)[: random.randrange(50)]
        store.remove(rows[held])
        truth = {key: value for key, value in truth.items() if key not in {keys[place] for place in held}}
        fresh = np.flatnonzero(rows < 0)
        values = ints([random.randrange(100) for _ in fresh])
        store.add([columns[0][fresh], columns[1][fresh], values])
        truth |= {keys[place]: int(value) for place, value in zip(fresh, values, strict=True)}
        assert len(store) == len(truth)
    assert sorted(zip(*(c.tolist() for c in store.take(store.rows())), strict=True)) == sorted(
        (*k, v) for k, v in truth.items()
    )


def test_equal_hashes_of_different_rows_are_told_apart() -> None:
    index, keys = HashIndex(), ints([10, 20, 30])
    same_hash = np.full(3, 7 << 32, np.uint64)
    index.add(same_hash, np.arange(3))
    assert index.find(same_hash, lambda queries, rows: keys[rows] == keys[queries][::1]).tolist() == [0, 1, 2]
    index.remove(same_hash[:1], np.arange(1))
    assert index.find(same_hash, lambda queries, rows: keys[rows] == keys[queries]).tolist() == [-1, 1, 2]


def test_rows_that_collide_are_grouped_by_their_values() -> None:
    columns = [ints([1, 2, 1, 2, 1]), ints([5, 5, 5, 5, 6])]
    groups = group_rows(columns, 5, np.zeros(5, np.uint64))
    assert sorted(sorted(part.tolist()) for part in np.split(groups.order, groups.starts[1:])) == [[0, 2], [1, 3], [4]]


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
        arrangement.update(
            Delta([ints([r[0] for r in rows]), ints([r[1] for r in rows])], ints([change[r] for r in rows]), settled=True)
        )
        for row in rows:
            truth[row] += change[row]
        truth = Counter({row: weight for row, weight in truth.items() if weight})
        asked = list(range(13))
        which, found = arrangement.match([ints(asked)])
        columns, weights = arrangement.take(found)
        assert (columns[0] == ints(asked)[which]).all()
        assert Counter(dict(zip(zip(*(c.tolist() for c in columns), strict=True), weights.tolist(), strict=True))) == truth
        assert len(found) == len(truth) == len(arrangement)
        assert arrangement.counts([ints(asked)]).tolist() == [sum(1 for row in truth if row[0] == key) for key in asked]


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
        columns = [ints([row[place] for row in rows]) for place in range(4)]
        for side in (keyed, arrangement):
            side.update(Delta(columns[:3], columns[3], settled=True))
        truth = {key: value for key, value in (truth | after).items() if value is not None}
        asked = [ints([number % 10 for number in range(100)]), ints([number // 10 for number in range(100)])]
        assert keyed.counts(asked).tolist() == arrangement.counts(asked).tolist()
        assert _matches(keyed, asked) == _matches(arrangement, asked)
        assert len(keyed) == len(truth)


def _matches(side: KeyedSide | Arrangement, asked: list[Ints]) -> list[list[int]]:
    which, rows = side.match(asked)
    columns, weights = side.take(rows)
    return sorted(list(row) for row in zip(which.tolist(), *(c.tolist() for c in columns), weights.tolist(), strict=True))


# rows in order

SORTS = [Sort(descending=down, nulls_first=first) for down in (False, True) for first in (False, True)]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("text", [False, True])
def test_a_sorted_index_is_a_sorted_list(sort: Sort, text: bool) -> None:
    random, interner = Random(5), Interner()
    words = sorted(["", "a", "b", *(f"the same long beginning {number:02}" for number in range(60))])
    values = (
        interner.intern(pa.array(words)).tolist()
        if text
        else sorted({2**63 - 1, *random.sample(range(-999, 999), 80), 1 - 2**63})
    )
    rank = {value: -place if sort.descending else place for place, value in enumerate(values)}
    rank[NULL] = -1000 if sort.nulls_first else 1000
    index = SortedIndex([Sort(text, sort.descending, sort.nulls_first), Sort(nulls_first=True)], interner)
    truth: Counter[tuple[int, int, int]] = Counter()
    for step in range(24):
        picked = {
            (random.randrange(6), random.choice(list(rank)), random.randrange(30)) for _ in range(random.choice([1, 9, 600]))
        }
        change = {row: 1 if step % 12 < 6 else -truth[row] for row in picked}
        index.update([ints([row[place] for row in change]) for place in range(3)], ints(list(change.values())))
        truth.update(change)
        truth = Counter({row: weight for row, weight in truth.items() if weight})
        assert len(index) == len(truth)
        for limit in (1, 3, 500):
            which, found = index.first(ints([3, 0, 77, 5]), limit)
            got = list(zip(which.tolist(), *(column.tolist() for column in found), strict=True))
            wanted = [sorted((rank[row[1]], row) for row in truth if row[0] == group)[:limit] for group in (3, 0, 77, 5)]
            assert got == [(number, row[1], row[2]) for number, rows in enumerate(wanted) for _, row in rows]


@settings(max_examples=50)
@given(st.lists(st.tuples(*[st.one_of(st.integers(-3, 3), st.sampled_from([NULL, 2**63 - 1]))] * 3), min_size=1))
def test_packed_sorting_sorts(rows: list[tuple[int, int, int]]) -> None:
    keys = [ints(list(column)) for column in zip(*rows, strict=True)]
    assert [rows[place] for place in sorted_order(keys)] == sorted(rows)
