"""Quix Streams: its state store (RocksDB) below one key, so that no second topic is needed, on librdkafka's own mock broker.

Without the greatest sale of a day: taking one back would need all amounts of a group, written anew at each event. The broker
forgets what is older than 100,000 records: another process produces no further ahead than it may.
"""

import json
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from typing import IO, Any

from bench.engines.common import COLUMNS, MEN, batches, first, rows, table, told

TOPIC = "events"
CITIES = ("date", "country", "region", "city", "total", "sales")
AHEAD, STEP = 40_000, 10_000  # records
CONFIG = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
FOUND: dict[str, dict[str, Any]] = {"city": {}, "man": {}}


class Fold:
    """Notes when the first load was through."""

    def __init__(self, load: int, allow: IO[bytes]) -> None:
        """`allow`: a line on it lets the producer go on by a step."""
        self.load, self.allow, self.seen = load, allow, 0
        self.wall = self.cpu = 0.0

    def __call__(self, row: list[Any], state: Any) -> None:
        old = state.get(row[0])
        kept = None if row[8] else row
        for one, weight in ((old, -1), (kept, 1)):
            if one:
                self._city(one, weight, state)
                self._man(one, weight, state)
        if kept is None:
            state.delete(row[0])
        else:
            state.set(row[0], kept)
        self.seen += 1
        if self.seen % STEP == 0:
            self.allow.write(b"\n")
            self.allow.flush()
        if self.seen == self.load:
            self.wall, self.cpu = time.perf_counter(), time.process_time()

    def _city(self, row: list[Any], weight: int, state: Any) -> None:
        key = "\x1f".join(row[1:5])
        total, sales = state.get(key, [0, 0])
        FOUND["city"][key] = [total + weight * row[7], sales + weight]
        state.set(key, FOUND["city"][key])

    def _man(self, row: list[Any], weight: int, state: Any) -> None:
        key, stop = f"{row[1]}\x1f{row[5]}", "\x1f".join(row[2:5])
        total, sales, stops, name = state.get(key, [0, 0, {}, ""])
        stops[stop] = stops.get(stop, 0) + weight
        if not stops[stop]:
            del stops[stop]
        FOUND["man"][key] = [total + weight * row[7], sales + weight, stops, max(name, row[6])]
        state.set(key, FOUND["man"][key])


def main() -> None:
    kafka, models = import_module("confluent_kafka"), import_module("quixstreams.models.topics")
    broker = kafka.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1})
    address = next(f"{one.host}:{one.port}" for one in broker.list_topics(timeout=30).brokers.values())
    load = len(first())
    count = load + sum(map(len, batches()))
    known = models.TopicConfig(num_partitions=1, replication_factor=1, extra_config=CONFIG)
    # The mock broker does not tell a topic's settings.
    models.admin.TopicAdmin.inspect_topics = lambda _self, names, timeout=None: dict.fromkeys(names, known)  # noqa: ARG005
    producing = subprocess.Popen([sys.executable, *sys.argv, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with tempfile.TemporaryDirectory() as folder, producing:
        application = import_module("quixstreams").Application(
            broker_address=address,
            consumer_group="bench",
            auto_offset_reset="earliest",
            auto_create_topics=False,
            use_changelog_topics=False,
            state_dir=folder,
            loglevel="ERROR",
        )
        assert producing.stdin is not None
        assert producing.stdout is not None
        producing.stdout.readline()  # the topic is there
        fold = Fold(load, producing.stdin)
        events = application.dataframe(application.topic(TOPIC, value_deserializer="json"))
        events.apply(fold, stateful=True)
        application.run(count=count)
    seconds, cpu = time.perf_counter() - fold.wall, time.process_time() - fold.cpu
    cities = [(*key.split("\x1f"), *found) for key, found in FOUND["city"].items() if found[1]]
    men = [(*key.split("\x1f"), f[3], f[0], f[1], len(f[2])) for key, f in FOUND["man"].items() if f[1]]
    told(table(CITIES, cities), table(MEN, men), seconds, cpu)


def produce(address: str) -> None:
    """All events, under one key, no further ahead of their reader than AHEAD: he writes a line for each STEP. Writes one once
    the first are there."""
    producer = import_module("confluent_kafka").Producer({"bootstrap.servers": address})
    count = 0
    for events in (first(), *batches()):
        for row in rows(events):
            producer.produce(TOPIC, key="all", value=json.dumps(row))
            count += 1
            if count % STEP == 0:
                producer.flush(60)
                if count == STEP:
                    print(flush=True)
                if count >= AHEAD:
                    sys.stdin.buffer.readline()
    producer.flush(60)
    sys.stdin.buffer.read()  # until its reader has all


assert COLUMNS[7:] == ("cents", "deleted")  # the fold counts on the order
if len(sys.argv) > 2:
    produce(sys.argv[2])
else:
    main()
