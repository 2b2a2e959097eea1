"""Given Parquet files, good and bad, when they are read, then each value is its exact text and nothing is lost."""

import io
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from tests.integration.files.inbox import Inbox, schema
from topline.changes import DeadLetter, TableChanges
from topline.sources.files.arrowtext import as_text

ROME = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


def packed(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def numbers(count: int, **options: Any) -> bytes:
    return packed(pa.table({"id": [f"s{n}" for n in range(count)], "amount": pa.array(range(count))}), **options)


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        (["a", "", None, "è\n"], pa.string(), ["a", "", None, "è\n"]),
        (["a", "b", "a"], pa.dictionary(pa.int32(), pa.string()), ["a", "b", "a"]),
        ([2**64 - 1, 0], pa.uint64(), ["18446744073709551615", "0"]),
        ([0.1, 1e22, -0.0, 1 / 3], pa.float64(), ["0.1", "1e+22", "-0", "0.3333333333333333"]),
        ([0.1, 16777216.0], pa.float32(), ["0.1", "16777216"]),
        ([Decimal("1.10"), Decimal("-0.01"), None], pa.decimal128(18, 2), ["1.10", "-0.01", None]),
        ([Decimal("0.0000000001"), Decimal("5")], pa.decimal128(38, 10), ["0.0000000001", "5.0000000000"]),
        ([Decimal("9" * 60 + ".5")], pa.decimal256(61, 1), ["9" * 60 + ".5"]),
        ([date(2026, 11, 21), date(1, 1, 1)], pa.date32(), ["2026-11-21", "0001-01-01"]),
        ([datetime(2026, 11, 21, 14, 5), None], pa.timestamp("us"), ["2026-11-21 14:05:00", None]),
        ([datetime(2026, 11, 21, 14, 5, 0, 120000)], pa.timestamp("ms"), ["2026-11-21 14:05:00.12"]),
        ([ROME], pa.timestamp("us", "Europe/Rome"), ["2026-11-21 14:05:00+00:00"]),
        ([time(14, 5, 0, 500000)], pa.time64("us"), ["14:05:00.5"]),
        ([True, False, None], pa.bool_(), ["true", "false", None]),
        ([b"\x00\xff"], pa.binary(), ["\\x00ff"]),
        ([None], pa.null(), [None]),
        ([["a", "b"], []], pa.list_(pa.string()), ['["a", "b"]', "[]"]),
        ([{"n": Decimal("1.10"), "d": date(2026, 1, 2)}], pa.struct({"n": pa.decimal128(5, 2), "d": pa.date32()}), None),
    ],
)
def test_every_type_is_its_exact_text(tmp_path: Path, values: list[Any], kind: pa.DataType, texts: list[Any] | None) -> None:
    inbox = Inbox(tmp_path, format="parquet")
    ids = [f"s{n}" for n in range(len(values))]
    inbox.drop("a.parquet", packed(pa.table({"id": ids, "amount": pa.array(values, kind)})))
    inbox.read()
    expected = texts or ['{"n": "1.10", "d": "2026-01-02"}']
    assert (inbox.rows, inbox.letters) == (list(zip(ids, expected, strict=True)), [])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20))
)
def test_decimals_are_exact(values: list[Decimal | None]) -> None:
    texts = as_text(pa.array(values, pa.decimal128(38, 12))).to_pylist()
    assert [text and Decimal(text) for text in texts] == values
    assert not any(text and "E" in text for text in texts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False)))
def test_floats_are_their_shortest_text(values: list[float]) -> None:
    texts = as_text(pa.array(values, pa.float64())).to_pylist()
    assert [float(text) for text in texts] == values
    assert all(len(Decimal(text).as_tuple().digits) <= 17 or "e" not in text for text in texts)


def test_row_groups_are_read_one_after_the_other_and_rows_are_numbered(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, schema("_file", "_line", "amount", key=("_file", "_line")), path="inbox/*.parquet")
    inbox.drop("a.parquet", numbers(1000, row_group_size=90))
    inbox.read(max_rows=100)
    assert inbox.rows == [("inbox/a.parquet", str(n + 1), str(n)) for n in range(1000)]


def test_reading_goes_on_in_the_middle_of_a_file(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, format="parquet")
    inbox.drop("a.parquet", numbers(500, row_group_size=50))
    inbox.source.open(inbox_resume(inbox))
    while not inbox.rows:
        inbox.commit_one(120)
    inbox.restart()
    inbox.read()
    assert [row[0] for row in inbox.rows] == [f"s{n}" for n in range(500)]


def inbox_resume(inbox: Inbox) -> Any:
    from topline.sources.base import Resume

    return Resume(inbox.positions, inbox.memory)


WHOLE = numbers(3000, compression="zstd", row_group_size=1000, use_dictionary=False, write_page_checksum=True)


def miscounted(whole: bytes) -> bytes:
    """Its first row group tells -1000 rows in place of 1000: a byte of the footer, as Thrift writes numbers."""
    told = b"\x16\xd0\x0f"
    places = [at for at in range(len(whole)) if whole.startswith(told, at)]
    files = [whole[:at] + b"\x16\xcf\x0f" + whole[at + 3 :] for at in places]
    (found,) = (file for file in files if pq.ParquetFile(io.BytesIO(file)).metadata.row_group(0).num_rows == -1000)
    return found


@pytest.mark.parametrize(
    "data",
    [WHOLE[:4000] + b"\xff\xff\xff" + WHOLE[4003:], WHOLE[:-3] + b"xyz", WHOLE[:3000], b"id,amount", miscounted(WHOLE)],
)
def test_a_broken_file_is_one_letter(tmp_path: Path, data: bytes) -> None:
    inbox = Inbox(tmp_path, format="parquet")
    inbox.drop("a.parquet", data)
    inbox.drop("b.parquet", numbers(1))
    inbox.read()
    assert [raw for _, raw in inbox.bad] == [data]
    assert "Parquet" in inbox.letters[0].reason
    assert inbox.rows[-1] == ("s0", "0")


def test_a_file_without_a_declared_column_is_one_letter(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, format="parquet")
    inbox.drop("a.parquet", data := packed(pa.table({"id": ["1"], "price": [1]})))
    inbox.read()
    assert (inbox.rows, inbox.bad) == ([], [("inbox/a.parquet:1", data)])
    assert "lacks amount: found id, price" in inbox.letters[0].reason


def test_rows_without_key_or_with_a_nul_are_letters_that_can_be_read_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, format="parquet")
    inbox.drop("a.parquet", packed(pa.table({"id": ["1", None, "3\0", "4"], "amount": [Decimal("1.10")] * 4})))
    inbox.read()
    assert inbox.rows == [("1", "1.10"), ("4", "1.10")]
    assert [(letter.locator, json.loads(letter.raw)) for letter in inbox.letters] == [
        ("inbox/a.parquet:2", {"id": None, "amount": "1.10"}),
        ("inbox/a.parquet:3", {"id": "3\0", "amount": "1.10"}),
    ]
    lax = Inbox(tmp_path, schema("amount", "_file", key=("_file",)), format="parquet")
    again = lax.source.reread(inbox.letters[0])
    assert isinstance(again, TableChanges)
    assert again.rows.to_pylist() == [{"amount": "1.10", "_file": "inbox/a.parquet"}]
    assert isinstance(inbox.source.reread(inbox.letters[0]), DeadLetter)


def test_a_packed_parquet_file_is_read(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, path="inbox/*.parquet.gz")
    import gzip

    inbox.drop("a.parquet.gz", gzip.compress(numbers(3)))
    inbox.read()
    assert inbox.rows == [("s0", "0"), ("s1", "1"), ("s2", "2")]
