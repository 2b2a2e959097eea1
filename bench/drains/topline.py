"""Topline's capture alone, in a process: `prepare FOLDER DSN` copies the table; `drain FOLDER DSN ROWS` reads what came."""

import json
import pickle
import resource
import sys
import time
from pathlib import Path

from topline.changes import Position, SourceBatch
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume, Source
from topline.sources.postgres import Settings, create

TYPES = {
    "id": Type.BIGINT,
    "city": Type.TEXT,
    "region": Type.TEXT,
    "salesman": Type.TEXT,
    "amount": Type.TEXT,
    "sold": Type.TIMESTAMPTZ,
    "day": Type.DATE,
    "paid": Type.BOOLEAN,
}
SCHEMA = TableSchema("shop.orders", tuple(Column(name, type_) for name, type_ in TYPES.items()), ("id",))
Memory = dict[str, bytes]


def main(what: str, folder: str, dsn: str, rows: int = 0) -> None:
    place = Path(folder)
    source = create(Context("shop", {"orders": SCHEMA}, place, place), Settings(dsn=dsn))
    kept = place / "resume"
    resume = Resume(*pickle.loads(kept.read_bytes())) if kept.exists() else Resume()
    source.open(resume)
    positions, memory = dict(resume.positions), dict(resume.memory)
    if what == "prepare":
        while not source.reached_end():
            _take(source, positions, memory)
    else:
        print(json.dumps(_drain(source, rows, positions, memory)))
    kept.write_bytes(pickle.dumps((positions, memory)))
    source.close()


def _drain(source: Source, rows: int, positions: dict[str, Position], memory: Memory) -> dict[str, float]:
    """Seconds and CPU-seconds after a third of the rows, and how many came then."""
    seen = 0
    while seen < rows // 3:
        seen += _take(source, positions, memory)
    first = seen
    wall, cpu = time.perf_counter(), time.process_time()
    while seen < rows:
        seen += _take(source, positions, memory)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows - first, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": peak}


def _take(source: Source, positions: dict[str, Position], memory: Memory) -> int:
    batch: SourceBatch | None = source.read(20_000, 0.5)
    if batch is None:
        return 0
    positions.update(batch.positions)
    memory.update({name: value for name, value in batch.memory.items() if value is not None})
    source.acknowledge(batch.positions)
    return len(batch)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int((sys.argv[4:] or ["0"])[0]))
