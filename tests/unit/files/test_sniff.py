"""Given the beginning of a file, when a proposal is made, then reading the file so gives what was written into it."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from topline.schema import Column, TableSchema, Type
from topline.sources.files.content import Content
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.settings import FileTable
from topline.sources.files.sniff import SAMPLE, Proposal, propose

ROWS = [
    {
        "sale_id": f"S{n}",
        "sold_at": f"2026-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
        "amount": f"{n * 997 % 12000}.{n % 100:02d}",
        "city": city,
    }
    for n, city in enumerate(["Roma", "Forlì", "Orte", "Asti", "Bari"] * 6)
]


def proposed(data: bytes, name: str = "a.csv") -> Proposal:
    proposal = propose(data, name)
    assert proposal is not None
    return proposal


def rows(folder: Path, data: bytes, proposal: Proposal, name: str = "a.csv") -> list[dict[str, Any]]:
    """The file read as proposed, from the YAML that a person would paste."""
    said = yaml.safe_load("\n".join(proposal.lines())) or {}
    table = FileTable.model_validate({"path": f"in/*{Path(name).suffix}", **said})
    names = [guess.name for guess in proposal.columns]
    schema = TableSchema("b.sales", tuple(Column(n, Type.TEXT) for n in names), proposal.key or (names[0],))
    path = folder / name
    path.write_bytes(data)
    reading = Reading(FileShape(schema, table, folder), Content(path), name)
    found = [row for chunk in reading.chunks() for row in chunk.rows.to_pylist()]
    assert reading.letters == 0
    return found


def italian(amount: str) -> str:
    return f"{float(amount):,.2f}".replace(",", "T").replace(".", ",").replace("T", ".")


def day(date: str, written: str) -> str:
    year, month, number = date.split("-")
    return written.replace("Y", year).replace("m", month).replace("d", number)


@settings(max_examples=50, deadline=None)
@given(
    delimiter=st.sampled_from([",", ";", "\t", "|", "|+|", "||", "~", "^|^"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoted=st.booleans(),
    numbers=st.booleans(),
    written=st.sampled_from(["Y-m-d", "d/m/Y", "m/d/Y", "d.m.Y", "Ymd"]),
    sep=st.booleans(),
)
def test_what_is_proposed_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    delimiter: str,
    encoding: str,
    end: str,
    quoted: bool,
    numbers: bool,
    written: str,
    sep: bool,
) -> None:
    def line(cells: list[str]) -> str:
        return delimiter.join(f'"{cell}"' if quoted or delimiter in cell else cell for cell in cells)

    body = [
        line([row["sale_id"], day(row["sold_at"], written), italian(row["amount"]) if numbers else row["amount"], row["city"]])
        for row in ROWS
    ]
    head = [f"sep={delimiter}"] if sep and delimiter in ";," else []
    data = end.join([*head, line(["Sale ID", "Sold at", "Amount", "City"]), *body, ""]).encode(encoding)
    proposal = proposed(data)
    expected = [
        row | {"amount": italian(row["amount"]).replace(".", "").replace(",", ".") if numbers else row["amount"]}
        for row in ROWS
    ]
    assert rows(tmp_path_factory.getbasetemp(), data, proposal) == expected
    assert proposal.key == ("sale_id",)
    kinds = {guess.name: guess.kind for guess in proposal.columns}
    assert kinds == {"sale_id": "text", "sold_at": "date", "amount": "number", "city": "text"}


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        (
            "id,day\n1,01/02/2026\n2,03/04/2026\n",
            "day: day and month cannot be told apart: say format: '%d/%m/%Y' or '%m/%d/%Y'",
        ),
        ('id,n\n1,"1,234"\n2,"5,678"\n', "n: 1,234 may be thousands, or have three decimals: say which (decimal, thousands)"),
        ("id,n\n1,1.234\n2,5.678\n", "n: 1.234 may be thousands, or have three decimals: say which (decimal, thousands)"),
        ("id,n\n1,a\n2,b,c\n", "1 of 3 sampled records do not have 2 fields"),
    ],
)
def test_what_is_open_is_said_and_not_guessed(text: str, remark: str) -> None:
    proposal = proposed(text.encode())
    assert (dict(proposal.settings), proposal.remarks, proposal.lines()) == ({}, (remark,), [f"# {remark}"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,2026-01-01,12.5\n2,2026-01-02,13.5\n", {"header": False}),
        ("id,name\n'1','a,b'\n'2','c'\n", {"quote": "'"}),
        ('id,name\n"1","a\\"b"\n"2","c"\n', {"escape": "\\"}),
        ("# made by hand\nid,name\n1,a\n", {"comment": "#"}),
        ("Vendita n.,Città\n1,a\n", {"columns": {"vendita_n": {"field": "Vendita n."}}}),
        ("id,tempo\n1,21/11/2026 14:05\n2,1/2/2026 9:00\n", {"columns": {"tempo": {"format": "%d/%m/%Y %H:%M"}}}),
        ("id,when\n1,11/21/2026 02:05 PM\n2,1/2/2026 9:00 am\n", {"columns": {"when": {"format": "%m/%d/%Y %I:%M %p"}}}),
        ("id;n\n1;1'234.50\n2;0.5\n", {"delimiter": ";", "columns": {"n": {"thousands": "'"}}}),
        ("only\na\nb\n", {}),
        ("id,name,later\n1,a\n2,b\n3,c,x\n4,d\n", {"short": "fill"}),
        ('id\tname\n1\t"Moo" and so on\n2\tb\n', {"delimiter": "\t", "quote": ""}),
        ("id,name\n## part one ##\n1,a\n2,b\n", {"comment": "#"}),
        ("#id,name\n1,a\n2,b\n", {"columns": {"id": {"field": "#id"}}}),
    ],
)
def test_surprises(text: str, said: dict[str, Any]) -> None:
    assert dict(proposed(text.encode()).settings) == said


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ('[{"id": 1, "amount": "1,50"}, {"id": 2, "amount": "2,50"}]', "a.json", {"columns": {"amount": {"decimal": ","}}}),
        ('{"id": 1, "amount": 1.5}\n{"id": 2, "amount": 2}\n', "a.jsonl", {}),
        ('{"id": 1, "amount": 1.5}\n{"id": 2, "amount": 2}\n', "a.txt", {"format": "ndjson"}),
        ('{"meta": {}, "data": {"sales": [{"id": 1, "amount": "a"}, {"id": 2}]}}', "a.json", {"records": "data.sales"}),
        ('{\n "id": 1,\n "amount": 1\n}\n{\n "id": 2,\n "amount": 2\n}', "a.json", {}),
    ],
)
def test_json(tmp_path: Path, text: str, name: str, said: dict[str, Any]) -> None:
    proposal = proposed(text.encode(), name)
    assert dict(proposal.settings) == said
    assert [row["id"] for row in rows(tmp_path, text.encode(), proposal, name)] == ["1", "2"]


def test_parquet(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"Sale No.": [1], "amount": [1.5]}), sink)
    proposal = proposed(sink.getvalue(), "a.parquet")
    assert [(guess.name, guess.kind) for guess in proposal.columns] == [("sale_no", "int64"), ("amount", "double")]
    assert rows(tmp_path, sink.getvalue(), proposal, "a.parquet") == [{"sale_no": "1", "amount": "1.5"}]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"PAR1", b"[]", b"{"])
def test_where_nothing_can_be_seen_there_is_no_proposal(data: bytes) -> None:
    assert propose(data) is None


def test_a_sample_may_end_anywhere(tmp_path: Path) -> None:
    data = ("id;città\n" + "".join(f"{n};Forlì{n}\n" for n in range(100_000))).encode()
    for end in range(SAMPLE, SAMPLE + 20):
        assert dict(proposed(data[:end]).settings) == {"delimiter": ";"}
