"""Rows a second from a file to Arrow columns, by kind of file; one thread, nothing behind it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from bench.figures import Figure
from topline.schema import Column, TableSchema, Type
from topline.sources.files.content import Content
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.settings import FileTable

SIZES = {"small": (100_000, 3), "full": (1_000_000, 5)}
"""Rows of a file, and how often it is read."""
COLUMNS = ("sale_id", "date", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency")
SCHEMA = TableSchema("bench.sales", tuple(Column(name, Type.TEXT) for name in COLUMNS), ("sale_id",))


def plain(row: int) -> str:
    return f"s{row},2026-03-{row % 28 + 1:02d},IT,Lombardia,Milano,m{row % 500},Anna Rossi,{row % 1000}.25,EUR\n"


def ndjson(row: int) -> str:
    members = zip(COLUMNS[:-2], plain(row).split(","), strict=False)
    return "{" + ", ".join(f'"{name}": "{value}"' for name, value in members) + f', "amount": {row % 1000}.25}}\n'


def many(row: int) -> str:
    return plain(row).replace(",", "|+|")


KINDS: dict[str, Callable[[int], str]] = {
    "plain.csv": plain,
    "accents.csv": lambda row: plain(row).replace("Anna", "Renée"),
    "quoted.csv": lambda row: plain(row).replace("Anna Rossi", '"Rossi, Anna"'),
    "broken.csv": lambda row: plain(row) if row % 100 else "x,y\n",
    "doubled.csv": lambda row: plain(row).replace("Anna Rossi", '"Anna ""A"" Rossi"'),
    "delimiter.csv": many,
    "utf16.csv": plain,
    "spelled.csv": lambda row: plain(row).replace(".25", ',25"').replace("Rossi,", 'Rossi,"').replace("2026-03-", "2026/3/"),
    "plain.ndjson": ndjson,
    "nested.ndjson": lambda row: ndjson(row).replace("}", ', "tags": ["a", "b"]}'),
    "plain.json": lambda row: ("[" if row == 0 else ",") + ndjson(row),
}
OPTIONS: dict[str, dict[str, object]] = {
    "delimiter.csv": {"delimiter": "|+|"},
    "spelled.csv": {"columns": {"amount": {"decimal": ","}, "date": {"format": "%Y/%m/%d"}}},
}


def write(path: Path, name: str, rows: int) -> None:
    if name.endswith(".parquet"):
        cells = zip(*(plain(row).rstrip().split(",") for row in range(rows)), strict=True)
        table = pa.table(dict(zip(COLUMNS, map(list, cells), strict=True)))
        amount = pc.cast(table["amount"], pa.decimal128(18, 4))
        pq.write_table(table.set_column(table.column_names.index("amount"), "amount", amount), path)
        return
    header = ",".join(COLUMNS) + "\n" if name.endswith(".csv") else ""
    text = header.replace(",", str(OPTIONS.get(name, {}).get("delimiter", ","))) + "".join(map(KINDS[name], range(rows)))
    text += "]" if name.endswith(".json") else ""
    path.write_text(text, encoding="utf-16" if name.startswith("utf16") else "utf-8")


def read(path: Path, name: str) -> tuple[int, int]:
    """How many records there are, and how many of them cannot be read."""
    table = FileTable.model_validate({"path": "x", "format": name.rpartition(".")[2], **OPTIONS.get(name, {})})
    reading = Reading(FileShape(SCHEMA, table, path.parent), Content(path), name)
    return sum(len(chunk) for chunk in reading.chunks()), reading.letters


def measure(folder: Path, name: str, rows: int, times: int) -> Figure:
    """What is loaded at the first reading is not measured."""
    path = folder / name
    write(path, name, rows)
    read(path, name)
    walls, cpus = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        count, letters = read(path, name)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    note = f"{letters:,} dead letters" if letters else ""
    return Figure(f"reading {name}", "rows/s", [count / wall for wall in walls], cpus, count, "rows", note=note)


def run(scale: str) -> Iterator[Figure]:
    rows, times = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder:
        for name in [*KINDS, "plain.parquet"]:
            yield measure(Path(folder), name, rows, times)
