"""A worker of `topline ingest` on a real broker: what a topic says after its source has changed, and what halts it."""

import itertools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from confluent_kafka import Message

from tests.cluster.events import records
from tests.cluster.stack import Stack
from tests.polling import until
from topline.ingest.work import Setup
from topline.ingest.worker import Told, Worker
from topline.kafka.client import Client
from topline.kafka.envelope import value_schema
from topline.kafka.registry import Registry
from topline.kafka.settings import KafkaSettings
from topline.kafka.settings import Registry as RegistrySettings
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context
from topline.sources.files import Settings, create
from topline.sources.registry import Ingested

pytestmark = pytest.mark.cluster
TABLE = TableSchema("files.things", (Column("id", Type.TEXT), Column("value", Type.TEXT), Column("size", Type.TEXT)), ("id",))
_numbers = itertools.count(1)
Rows = Mapping[str, tuple[str, str]]


class Branch:
    """A folder of files, brought to a topic of its own by workers that come and go."""

    def __init__(self, folder: Path, stack: Stack, wire: Literal["json", "avro"] = "json", **topics: Any) -> None:
        self._folder, self._stack = folder, stack
        (folder / "inbox").mkdir()
        registry = {"registry": {"url": stack.registry.url}} if wire == "avro" else {}
        self._settings = KafkaSettings.model_validate(
            {
                "brokers": stack.kafka.bootstrap,
                "format": wire,
                "prefix": f"worker{next(_numbers)}",
                "topics": {"partitions": 2, **topics},
                **registry,
            }
        )
        self.topic = f"{self._settings.prefix}.files.things"

    def write(self, name: str, rows: Rows) -> None:
        text = "id,value,size\n" + "".join(f"{key},{value},{size}\n" for key, (value, size) in rows.items())
        (self._folder / "inbox" / name).write_text(text)

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        declared = {"tables": {"things": {"path": "inbox/*.csv"}}, "settle": 0, "poll": 0.05}
        context = Context("files", {"things": TABLE}, self._folder, self._folder / ".topline", self._settings)
        source = create(context, Settings.model_validate(declared))
        setup = Setup(self._settings, Client(self._settings, self._folder), self._folder, 1_000)
        made = Worker(setup, [Ingested("files", source, {"things": TABLE}, {"things": self.topic})])
        made.prepare()
        stop = threading.Event()
        thread = threading.Thread(target=made.run, args=(stop.is_set, lambda: False))
        thread.start()
        try:
            yield made
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()

    def bring(self) -> None:
        """A worker that ends once all is brought."""
        with self.worker() as worker:
            until(lambda: worker.is_idle, timeout=60, what="all is brought")
            assert worker.told["files"].state != "halted", worker.told

    def messages(self) -> list[Message]:
        return records(self._stack.kafka.bootstrap, self.topic)

    def rows(self) -> dict[str, tuple[str, str]]:
        """What the topic says (JSON), by its last record of each key."""
        found: dict[str, tuple[str, str]] = {}
        for message in self.messages():
            key = json.loads(message.key() or b"")["id"]
            found.pop(key, None)
            if (event := json.loads(message.value() or b"{}")).get("after"):
                found[key] = (event["after"]["value"], event["after"]["size"])
        return found


@pytest.fixture
def branch(tmp_path: Path, stack: Stack) -> Branch:
    return Branch(tmp_path, stack)


def test_a_row_that_a_file_lost_is_deleted_by_a_worker_that_did_not_write_it(branch: Branch) -> None:
    first = {f"a{number}": ("x", str(number)) for number in range(500)}
    branch.write("a.csv", first)
    branch.write("b.csv", {"b1": ("y", "1"), "a3": ("taken over", "3")})
    branch.bring()
    assert branch.rows() == {**first, "b1": ("y", "1"), "a3": ("taken over", "3")}
    second = {key: row for key, row in first.items() if key not in ("a1", "a2", "a3")} | {"a4": ("changed", "4")}
    branch.write("a.csv", second)
    branch.bring()
    assert branch.rows() == {**second, "b1": ("y", "1"), "a3": ("taken over", "3")}


def test_what_was_brought_is_not_brought_again(branch: Branch) -> None:
    branch.write("a.csv", {f"a{number}": ("x", str(number)) for number in range(2_500)})
    branch.bring()
    branch.bring()
    assert len(branch.messages()) == 2_500
    branch.write("b.csv", {"b1": ("y", "1")})
    branch.bring()
    assert len(branch.messages()) == 2_501


def test_a_source_that_is_to_be_read_anew_is_though_its_worker_had_nothing_to_do(branch: Branch) -> None:
    branch.write("a.csv", {"a1": ("x", "1"), "a2": ("x", "2")})
    with branch.worker() as worker:
        until(lambda: worker.is_idle, timeout=60)
        worker.read_anew("files", "things")
        until(lambda: len(branch.messages()) == 4, timeout=60, every=0.5)
    assert branch.rows() == {"a1": ("x", "1"), "a2": ("x", "2")}


def test_a_source_goes_to_another_worker_when_its_own_goes(branch: Branch) -> None:
    with branch.worker() as second:
        with branch.worker() as first:
            until(lambda: sum(told.state == "running" for told in (first.told["files"], second.told["files"])) == 1, timeout=60)
            branch.write("a.csv", {"a1": ("x", "1")})
            until(lambda: branch.rows() == {"a1": ("x", "1")}, timeout=30, every=0.2)
        until(lambda: second.told["files"].state == "running", timeout=30)
        branch.write("b.csv", {"b1": ("y", "1")})
        until(lambda: branch.rows() == {"a1": ("x", "1"), "b1": ("y", "1")}, timeout=30, every=0.2)
    assert len(branch.messages()) == 2


def test_columns_that_readers_cannot_follow_halt_it_with_the_reason(tmp_path: Path, stack: Stack) -> None:
    branch = Branch(tmp_path, stack, "avro")
    numbers = TableSchema(TABLE.name, (*TABLE.columns[:2], Column("size", Type.BIGINT)), TABLE.key)
    registry = Registry(RegistrySettings(url=stack.registry.url), tmp_path)
    registry.register(f"{branch.topic}-value", value_schema(branch.topic, numbers))
    registry.require_backward(f"{branch.topic}-value")
    branch.write("a.csv", {"a1": ("x", "1")})
    with branch.worker() as worker:
        until(lambda: worker.told["files"].state == "halted", timeout=60)
        assert f"readers of {branch.topic}-value could not follow (BACKWARD)" in worker.told["files"].detail
    assert branch.messages() == []
    registry.close()


def test_a_row_that_is_too_large_halts_it_and_says_what_to_raise(tmp_path: Path, stack: Stack) -> None:
    branch = Branch(tmp_path, stack, settings={"max.message.bytes": "20000"})
    branch.write("a.csv", {"a1": (os.urandom(25_000).hex(), "1")})
    with branch.worker() as worker:
        told: Told = until(lambda: worker.told["files"] if worker.told["files"].state == "halted" else None, timeout=60)
        assert "raise the topic's `max.message.bytes`" in told.detail
