"""The stack for development: a command starts it, looks at it and ends it, and three brokers bear the loss of one."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from confluent_kafka import OFFSET_BEGINNING, KafkaError, Message, Producer, TopicPartition

from tests.cluster.kafka import Kafka
from tests.cluster.process import StackError, free_ports, require_free
from tests.cluster.stack import JARS
from tests.polling import Clock, until
from topline.kafka.client import Client
from topline.kafka.settings import KafkaSettings, Topics
from topline.kafka.topics import ensure

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """`make stack-up` and its like, in a folder of the test's own. What it starts ends with the test."""
    folder = tmp_path / "stack"

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "tests.cluster.stack", *arguments, "--folder", str(folder)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)

    yield run
    assert run("down", "--delete").returncode == 0


@pytest.mark.timeout(600)
def test_a_stack_is_started_looked_at_and_ended(command: Command) -> None:
    database, client = free_ports(1)[0], two_in_a_row()
    asked = ("--only", "postgres,kafka", "--ports", f"postgres={database},kafka={client}")
    with socket.socket() as other:
        other.bind(("127.0.0.1", client))
        refused = command("up", *asked)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"port {client}, which kafka-1 is to have, is taken" in refused.stderr
    assert command("status").returncode == 1

    started = command("up", *asked)
    assert started.returncode == 0, started.stderr
    block = yaml.safe_load(started.stdout.partition("For topline.yml:")[2])
    assert block == {"kafka": {"brokers": [f"127.0.0.1:{client}"], "format": "json"}}
    KafkaSettings.model_validate(block["kafka"])
    before = states(command)
    assert set(before) == {"postgres", "kafka-1"}

    os.kill(int(before["kafka-1"].rpartition(" ")[2]), signal.SIGKILL)
    until(lambda: states(command)["kafka-1"] == "does not run", timeout=20, every=0.5)
    assert command("status").returncode == 1
    assert "runs on other ports" in command("up", "--ports", f"kafka={client + 2}").stderr
    assert command("up").returncode == 0
    after = states(command)
    assert after["postgres"] == before["postgres"]
    assert after["kafka-1"] != before["kafka-1"]

    assert command("down").stdout == "ended: kafka-1, postgres\n"
    assert command("down").stdout == "nothing runs\n"
    assert states(command) == {"postgres": "does not run", "kafka-1": "does not run"}
    assert "has 1 broker(s), not 3" in command("up", "--brokers", "3").stderr


def two_in_a_row() -> int:
    """The first of two neighbouring ports: a broker takes them."""
    for first in free_ports(50):
        with suppress(StackError):
            require_free(first + 1, "a controller")
            return first
    raise AssertionError("no two neighbouring ports are free")


def states(command: Command) -> dict[str, str]:
    """How each server stands, as `status` shows it."""
    rows = [line.split("  ") for line in command("status").stdout.splitlines()]
    shown = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0]: row[-2] for row in shown}


def test_what_cannot_be_started_is_refused(command: Command) -> None:
    assert "no such part" in command("up", "--only", "zookeeper").stderr
    assert "write NAME=PORT" in command("up", "--ports", "kafka=no").stderr


@pytest.mark.long
def test_the_loss_of_one_broker_of_three_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Two copies hold each record before it is acknowledged, and another takes it on; a repeated one is seen as such."""
    kafka = Kafka(JARS / "kafka", tmp_path / "kafka", free_ports(6))
    kafka.start()
    try:
        client = Client(KafkaSettings(brokers=kafka.bootstrap, format="json"), tmp_path)
        ensure(client.admin(), ["facts"], Topics(partitions=6, replication=3), 30)
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "linger.ms": 5})
        acknowledged: set[int] = set()
        sent = _produce(producer, acknowledged, 0, 5)
        kafka.nodes[0].kill()
        sent = _produce(producer, acknowledged, sent, 15)
        kafka.nodes[0].start()
        sent = _produce(producer, acknowledged, sent, 3)
        assert producer.flush(60) == 0
        assert acknowledged == set(range(sent))
        assert sorted(_read(client)) == list(range(sent))
    finally:
        kafka.stop()


def _produce(producer: Producer, acknowledged: set[int], start: int, seconds: float) -> int:
    """The number to go on with."""

    def note(error: KafkaError | None, message: Message) -> None:
        if error is None:
            acknowledged.add(int(message.key() or b"-1"))

    over, number = Clock(seconds), start
    while not over():
        producer.produce("facts", str(number), str(number), on_delivery=note)
        number += 1
        producer.poll(0.001)
    return number


def _read(client: Client) -> list[int]:
    consumer = client.consumer("reader")
    consumer.assign([TopicPartition("facts", number, OFFSET_BEGINNING) for number in range(6)])
    values: list[int] = []
    ended: set[int] = set()
    over = Clock(60)
    while len(ended) < 6 and not over():
        for message in consumer.consume(10_000, 1.0):
            if message.error() is None:
                values.append(int(message.value() or b"-1"))
            else:
                ended.add(message.partition() or 0)
    consumer.close()
    return values
