"""Given files as branches write them, good and bad, when they are read, then rows and dead letters are these."""

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.integration.files.inbox import Inbox, schema
from topline.changes import DeadLetter, TableChanges
from topline.errors import ConfigError
from topline.sources.files.settings import FileTable
from topline.sources.spill import is_spilled

HEAD = "id,amount\n"


def test_values_keep_their_text(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.drop("a.csv", 'amount,extra,id\n 007.10 ,x,"a, ""b"""\n"",x,2\n,x,3\n"two\nlines",x,4\n')
    inbox.read()
    assert inbox.rows == [('a, "b"', " 007.10 "), ("2", ""), ("3", None), ("4", "two\nlines")]
    assert [part.lo.tolist() for part in inbox.parts if isinstance(part, TableChanges)] == [[2, 3, 4, 5]]
    assert inbox.letters == []


def test_bad_records_are_kept_and_their_neighbours_count(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, max_line_bytes=1024)
    bad = [b"only\n", b"1,2,3\n", b",5\n", b"\xe9,1\n", b"a\0,1\n", b'"x"y,1\n', b"9," + b"9" * 2000 + b"\r\n"]
    inbox.drop("a.csv", HEAD.encode() + b"".join(line + b"ok%d,1\n" % n for n, line in enumerate(bad)))
    inbox.read()
    assert inbox.rows == [(f"ok{n}", "1") for n in range(len(bad))]
    assert inbox.bad == [(f"inbox/a.csv:{2 + 2 * n}", line) for n, line in enumerate(bad)]
    words = ["1 fields", "3 fields", "no key: id", "not valid utf-8", "NUL", "after a closing quote", "max_line_bytes"]
    assert all(word in letter.reason for word, letter in zip(words, inbox.letters, strict=True))


def test_an_open_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.drop("a.csv", HEAD + '1,"open\n2,b\n3,c')
    inbox.read()
    assert inbox.bad == [("inbox/a.csv:2", b'1,"open\n')]
    assert inbox.rows == [("2", "b"), ("3", "c")]


def test_a_huge_line_is_kept_in_bounded_memory(tmp_path: Path) -> None:
    """Its bytes lie in a file; the letter names it, and no more than the line's own file is written."""
    inbox = Inbox(tmp_path)
    huge = b"2," + b"x" * (100 << 20) + b"\n"
    inbox.drop("a.csv", HEAD.encode() + b"1,a\n" + huge + b"3,c\n")
    tracemalloc.start()
    inbox.read()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20
    assert inbox.rows == [("1", "a"), ("3", "c")]
    assert is_spilled(inbox.letters[0].raw)
    assert inbox.bad == [("inbox/a.csv:3", huge)]
    assert [file.stat().st_size for file in (tmp_path / "state" / "spill").iterdir()] == [len(huge)]


def test_bytes_that_look_like_a_reference_are_not_taken_for_one(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    raw = b"topline:spill:00:1\n"
    inbox.drop("a.csv", HEAD.encode() + raw)
    inbox.read()
    assert inbox.bad == [("inbox/a.csv:2", raw)]


@pytest.mark.parametrize("head", ["id,price\n", "amount\n", '"id,amount\n', "id,amount,id\n", "Id,ID,amount\n"])
def test_a_header_that_does_not_serve_keeps_the_whole_file(tmp_path: Path, head: str) -> None:
    inbox = Inbox(tmp_path)
    text = head + "1,10\n2,20\n"
    inbox.drop("a.csv", text)
    inbox.read()
    assert inbox.rows == []
    assert inbox.bad == [("inbox/a.csv:1", text.encode())]
    assert inbox.source.check() != []


def test_the_reason_names_the_columns_found_and_expected(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.drop("a.csv", "id,price\n1,10\n")
    inbox.read()
    assert inbox.letters[0].reason == "the header lacks amount: found id, price; expected id, amount"


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"delimiter": ";", "quote": "'"}, b"id;amount\n'1;2';10,5\n"),
        ({"delimiter": "\t", "quote": ""}, b"id\tamount\n1;2\t10,5\n"),
        ({"escape": "\\"}, b'id,amount\n1;2,"10\\,5"\n'),
        ({"escape": "\\"}, b"id,amount\n1;2,10\\,5\n"),
        ({"header": False}, b'1;2,"10,5"\n'),
        ({"header": ["amount", "id"]}, b'"10,5",1;2\n'),
        ({}, b'\xef\xbb\xbfid,amount\r\n1;2,"10,5"\r\n'),
        ({}, b'\n\nid,amount\n\n1;2,"10,5"\n\n'),
        ({"format": "ndjson"}, b'{"id": "1;2", "amount": "10,5"}\n'),
    ],
)
def test_dialects(tmp_path: Path, options: dict[str, Any], data: bytes) -> None:
    inbox = Inbox(tmp_path, **options)
    inbox.drop("a.csv" if options.get("format") != "ndjson" else "a.ndjson", data)
    inbox.read()
    assert (inbox.rows, inbox.letters) == ([("1;2", "10,5")], [])


def test_encoding(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, encoding="cp1252")
    inbox.drop("a.csv", b"id,amount\n1,\x80 5\n2,\x81\n3,c\n")
    inbox.read()
    assert inbox.rows == [("1", "€ 5"), ("3", "c")]
    assert inbox.bad == [("inbox/a.csv:3", b"2,\x81\n")]


def test_ndjson_keeps_each_token(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, schema("id", "v"), format="ndjson")
    tokens = ["1.10", "12345678901234567890.123456789", "-0", "1e400", "true", "null", '"é"', '{"a": [1.0, 2]}', "[ ]"]
    inbox.drop("a.jsonl", "".join(f'{{"v": {token}, "id": {n}, "other": 1}}\n' for n, token in enumerate(tokens)))
    inbox.read()
    expected = [*tokens[:4], "true", None, "é", *tokens[7:]]
    assert inbox.rows == [(str(n), value) for n, value in enumerate(expected)]


def test_ndjson_bad_lines(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, format="ndjson", max_line_bytes=1024)
    bad = [
        b"{",
        b"[1]",
        b'{"amount": 1}',
        b'{"id": null}',
        b'{"id": NaN}',
        b'{"id": "\\u0000"}',
        b'{"id": "\\ud800"}',
        b"\xff",
        b"[" * 900,
    ]
    inbox.drop("a.ndjson", b"".join(line + b"\n" for line in bad) + b'{"id": 1}')
    inbox.read()
    assert inbox.rows == [("1", None)]
    assert inbox.bad == [(f"inbox/a.ndjson:{n}", line + b"\n") for n, line in enumerate(bad, start=1)]


def test_gz(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    inbox.drop("a.csv.gz", gzip.compress(HEAD.encode() + b"1,a\n") + gzip.compress(b"2,b\n"))
    inbox.read()
    assert inbox.rows == [("1", "a"), ("2", "b")]


def test_a_truncated_gz_gives_its_whole_lines_and_keeps_the_file(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    text = HEAD + "".join(f"{n},{n * 7919 % 10007}\n" for n in range(50_000))
    packed = gzip.compress(text.encode())[:-2000]
    inbox.drop("a.csv.gz", packed)
    inbox.read(max_rows=100_000)
    count = len(inbox.rows)
    assert 1000 < count < 50_000
    assert inbox.rows == [(str(n), str(n * 7919 % 10007)) for n in range(count)]
    assert inbox.bad == [(f"inbox/a.csv.gz:{count + 2}", packed)]
    assert f"after line {count + 1}" in inbox.letters[0].reason


def test_rows_are_keyed_by_file_and_line(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, schema("_file", "amount", "_line", key=("_file", "_line")))
    inbox.drop("a.csv", "amount\n5\n5\n")
    inbox.drop("b.csv", "amount\n5\n")
    inbox.read()
    assert inbox.rows == [("inbox/a.csv", "5", "2"), ("inbox/a.csv", "5", "3"), ("inbox/b.csv", "5", "2")]


def test_a_letter_can_be_read_again_after_a_mend(tmp_path: Path) -> None:
    strict = Inbox(tmp_path, max_line_bytes=1024)
    strict.drop("a.csv", HEAD + "1," + "x" * 2000 + "\nshort\n")
    strict.read()
    lax = Inbox(tmp_path)
    rows = lax.source.reread(strict.letters[0])
    assert isinstance(rows, TableChanges)
    assert rows.rows.to_pylist() == [{"id": "1", "amount": "x" * 2000}]
    assert isinstance(lax.source.reread(strict.letters[1]), DeadLetter)


ITALIAN = {
    "amount": {"decimal": ",", "thousands": "."},
    "sold_at": {"field": "Venduto il", "format": "%d/%m/%Y %H:%M", "zone": "Europe/Rome"},
}
SALES = schema("id", "amount", "sold_at")


def test_numbers_and_times_as_a_country_writes_them(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, SALES, delimiter=";", columns=ITALIAN, encoding="cp1252")
    rows = ["Id;VENDUTO IL;Amount", "1;21/11/2026 14:05;1.234,50", '2;"1/7/2026 9:00";"-0,5"', "3;ieri;12.5", "4;;"]
    inbox.drop("a.csv", "\r\n".join(rows))
    inbox.read()
    assert inbox.rows == [
        ("1", "1234.50", "2026-11-21 14:05:00+01:00"),
        ("2", "-0.5", "2026-07-01 09:00:00+02:00"),
        ("3", "12.5 (the decimal is ',')", "ieri"),
        ("4", None, None),
    ]


def test_a_column_that_is_not_declared_cannot_be_spelled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tables\.sales\.columns\.amuont: is not declared"):
        Inbox(tmp_path, columns={"amuont": {"decimal": ","}})


def test_check_says_what_a_file_seems_to_be(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, schema("id", "amount"))
    inbox.drop("a.csv", "id;amount\n1;1.234,50\n2;0,5\n".encode("utf-16-le"))
    (fault,) = inbox.source.check()
    assert fault.where == "sources.branch.tables.sales"
    assert "with the columns id, amount:" in fault.remedy
    for line in ("      delimiter: ;", "      encoding: utf-16-le", "        amount: {decimal: ',', thousands: .}"):
        assert line in fault.remedy.splitlines()


@pytest.mark.parametrize(
    ("options", "text", "problem"),
    [
        ({"header": False}, "1;2\n3;4\n", "2 of the first 2 records cannot be read; the first: 1 fields"),
        (
            {"columns": {"amount": {"decimal": ","}}},
            "id,amount\n1,1.5\n2,2.5\n",
            "2 of 2 values are not written so, such as '1.5'",
        ),
        ({"columns": {"amount": {"format": "%d/%m/%Y"}}}, "id,amount\n1,2026-01-01\n", "1 of 1 values are not written so"),
        ({"format": "json"}, "id,amount\n1,2\n", "1 of the first 1 records cannot be read"),
        (
            {"format": "parquet"},
            "id,amount\n1,2\n",
            "1 of the first 1 records cannot be read; the first: not readable as Parquet",
        ),
        ({"encoding": "utf-16"}, "id,amount\n1,2\n", "no byte-order mark"),
        ({}, "id,amount\n1,2\n1,3\n1,4\n", "the key id tells 1 of the first 3 rows apart"),
        ({}, "id,amount\n1,2\n1,3\n2,4\n", None),
        ({}, "id,amount\n1,2\n1,2\n1,2\n", None),
        ({}, "id,amount\n1,2\n2,x,y\n", None),
        ({"columns": {"amount": {"zone": "Europe/Rome"}}}, "id,amount\n1,2026-01-01T10:00Z\n", None),
    ],
)
def test_check_finds_settings_that_do_not_fit(tmp_path: Path, options: dict[str, Any], text: str, problem: str | None) -> None:
    inbox = Inbox(tmp_path, schema("id", "amount"), **{"path": "inbox/*", **options})
    inbox.drop("a.csv", text)
    faults = inbox.source.check()
    assert [problem in fault.problem for fault in faults if problem] == [True] * bool(problem)
    assert bool(faults) == bool(problem)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("options", "data", "rows"),
    [
        ({"delimiter": "|+|"}, 'id|+|amount\n1|+|"a|+|b"\n2|+|x|y\n', [("1", "a|+|b"), ("2", "x|y")]),
        ({"delimiter": "||"}, 'id||amount\n1||"two\nlines"\n2|||y\n', [("1", "two\nlines"), ("2", "|y")]),
        ({"delimiter": "\\t"}, "id\tamount\n1\ta,b\n", [("1", "a,b")]),
        ({"delimiter": "¬", "encoding": "cp1252"}, "id¬amount\n1¬é\n".encode("cp1252"), [("1", "é")]),
        ({}, "id,amount\n1,é\n".encode("utf-16"), [("1", "é")]),
        ({}, "\ufeffid,amount\n1,é\n".encode("utf-32-be"), [("1", "é")]),
        ({"encoding": "utf-16-be"}, "id,amount\n1,é\n".encode("utf-16-be"), [("1", "é")]),
        ({"encoding": "cp1252"}, "\ufeffid,amount\n1,é\n".encode(), [("1", "é")]),
        ({}, "sep=;\nid;amount\n1;2,5\n", [("1", "2,5")]),
        ({"header": False}, '"sep=|"\r\n1|2\r\n', [("1", "2")]),
        ({}, 'id,amount\r1,a\r2,"b\rc"\r', [("1", "a"), ("2", "b\rc")]),
        ({}, " ID , Amount \n1,2\n", [("1", "2")]),
        ({}, 'AMOUNT,"Id",other,other\n2,1,x,y\n', [("1", "2")]),
        ({}, "id,amount\n1,2\nid,amount\n3,4\n", [("1", "2"), ("3", "4")]),
        ({}, "id,amount,\n1,2,\n", [("1", "2")]),
        ({"comment": "#"}, '# made by hand\nid,amount\n#1,2\n3,"4\n#5"\n', [("3", "4\n#5")]),
        ({"columns": {"amount": {"field": "Vendita n."}}}, "id,vendita N.\n1,2\n", [("1", "2")]),
        (
            {"short": "fill"},
            'id,amount,more\n1,2\n3\n"4"\r\n5,"6"\n7,8,9\n',
            [("1", "2"), ("3", None), ("4", None), ("5", "6"), ("7", "8")],
        ),
        ({"quote": ""}, 'id,amount\n1,"a\n', [("1", '"a')]),
        ({}, 'id,amount\n1, "a"\n', [("1", ' "a"')]),
        ({}, 'id,amount\n1,\n2,""\n', [("1", None), ("2", "")]),
    ],
)
def test_what_files_bring(
    tmp_path: Path, options: dict[str, Any], data: str | bytes, rows: list[tuple[str, str | None]]
) -> None:
    inbox = Inbox(tmp_path, **options)
    inbox.drop("a.csv", data)
    inbox.read()
    assert (inbox.rows, inbox.letters) == (rows, [])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_broken_code_units_are_kept_byte_for_byte(tmp_path: Path, encoding: str) -> None:
    def code(text: str) -> bytes:
        return text.encode(encoding, "surrogatepass")

    inbox = Inbox(tmp_path)
    bad = [code("2,\ud800x\n"), code("3,\udc00\n"), code("5,last") + b"\x00"]
    inbox.drop("a.csv", code("\ufeffid,amount\n1,😀\n") + bad[0] + bad[1] + code("4,b\n") + bad[2])
    inbox.read()
    assert inbox.rows == [("1", "😀"), ("4", "b")]
    assert [raw for _, raw in inbox.bad] == bad
    assert all(letter.reason.startswith(f"not valid {encoding}: byte 0x") for letter in inbox.letters)


def test_a_refused_file_is_kept_from_its_first_byte_and_can_be_read_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    data = "\ufeffsep=;\n\nid;price\n1;2\n".encode("utf-16-le")
    inbox.drop("a.csv", data)
    inbox.read()
    assert inbox.bad == [("inbox/a.csv:1", data)]
    mended = Inbox(tmp_path, columns={"amount": {"field": "price"}})
    again = mended.source.reread(inbox.letters[0])
    assert isinstance(again, TableChanges)
    assert again.rows.to_pylist() == [{"id": "1", "amount": "2"}]


def test_a_record_of_a_utf_16_file_is_read_again_as_its_file_is(tmp_path: Path) -> None:
    strict = Inbox(tmp_path, max_line_bytes=1024)
    strict.drop("a.csv", ("\ufeffsep=;\nid;amount\n1;" + "é" * 2000 + "\n").encode("utf-16-le"))
    strict.read()
    again = Inbox(tmp_path).source.reread(strict.letters[0])
    assert isinstance(again, TableChanges)
    assert again.rows.to_pylist() == [{"id": "1", "amount": "é" * 2000}]


def test_an_element_is_read_again_without_its_array(tmp_path: Path) -> None:
    options: dict[str, Any] = {"path": "inbox/*.json", "records": "data.sales"}
    strict = Inbox(tmp_path, max_line_bytes=1024, **options)
    strict.drop("a.json", '{"data": {"sales": [{"id": 1, "amount": "' + "x" * 2000 + '"}, {"id": 2}]}}')
    strict.drop("b.json", whole := '{"data": {"other": [{"id": 3}]}}')
    strict.read()
    assert strict.rows == [("2", None)]
    assert strict.bad[1] == ("inbox/b.json:1", whole.encode())
    again = Inbox(tmp_path, **options).source.reread(strict.letters[0])
    assert isinstance(again, TableChanges)
    assert again.rows.to_pylist() == [{"id": "1", "amount": "x" * 2000}]
    other = Inbox(tmp_path, **{**options, "records": "data.other"}).source.reread(strict.letters[1])
    assert isinstance(other, TableChanges)
    assert other.rows.to_pylist() == [{"id": "3", "amount": None}]


def test_a_thousand_columns(tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(1000)]
    inbox = Inbox(tmp_path, schema("id", *names))
    lines = [",".join(["id", *names]), ",".join(["1", *names]), ",".join(["2", *names[:-1]]), ",".join(["3", *names])]
    inbox.drop("a.csv", "\n".join(lines))
    inbox.read()
    assert inbox.rows == [("1", *names), ("3", *names)]
    assert [raw.decode() for _, raw in inbox.bad] == [lines[2] + "\n"]


@pytest.mark.parametrize(
    ("name", "format_"),
    [("inbox", "csv"), ("inbox/*.jsonl", "ndjson"), ("a.json.gz", "json"), ("x/*.parquet", "parquet"), ("x/*.dat", "csv")],
)
def test_the_format_is_that_of_the_suffix(name: str, format_: str) -> None:
    assert FileTable(path=(name,)).format == format_
