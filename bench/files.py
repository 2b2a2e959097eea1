"""Rows a second from a file to Arrow columns, by kind of file. `python -m bench.files [ROWS]`."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from topline.schema import Column, TableSchema, Type
from topline.sources.files.content import Content
from topline.sources.files.reading import FileShape, Reading
from topline.sources.files.settings import FileTable

COLUMNS = ("sale_id", "date", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency")
SCHEMA = TableSchema("bench.sales", tuple(Column(name, Type.TEXT) for name in COLUMNS), ("sale_id",))


def plain(row: int) -> str:
    return f"s{row},2026-03-{row % 28 + 1:02d},IT,Lombardia,Milano,m{row % 500},Anna Rossi,{row % 1000}.25,EUR\n"


def ndjson(row: int) -> str:
    members = zip(COLUMNS[:-2], plain(row).split(","), strict=False)
    return "{" + ", ".join(f'"{name}": "{value}"' for name, value in members) + f', "amount": {row % 1000}.25}}\n'


KINDS: dict[str, Callable[[int], str]] = {
    "plain.csv": plain,
    "accents.csv": lambda row: plain(row).replace("Anna", "Renée"),
    "quoted.csv": lambda row: plain(row).replace("Anna Rossi", '"Rossi, Anna"'),
    "broken.csv": lambda row: plain(row) if row % 100 else "x,y\n",
    "doubled.csv": lambda row: plain(row).replace("Anna Rossi", '"Anna ""A"" Rossi"'),
    "plain.ndjson": ndjson,
}


def measure(folder: Path, name: str, rows: int) -> None:
    """Print rows a second, by the wall and by the CPU's clock."""
    path = folder / name
    header = ",".join(COLUMNS) + "\n" if name.endswith(".csv") else ""
    path.write_text(header + "".join(map(KINDS[name], range(rows))))
    table = FileTable.model_validate({"path": "x", "format": name.rpartition(".")[2]})
    wall, cpu = time.perf_counter(), time.process_time()
    reading = Reading(FileShape(SCHEMA, table, folder), Content(path), name)
    count = sum(len(chunk) for chunk in reading.chunks())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{name:14} {count / wall:12,.0f} /s {count / cpu:12,.0f} /CPU-s {reading.letters:8,} dead letters")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory() as folder:
        for name in KINDS:
            measure(Path(folder), name, rows)


if __name__ == "__main__":
    main()
