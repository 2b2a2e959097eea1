"""The models on Flink: after a history of every kind of change the results are those of the plain SQL, row for row, whatever
records come and whoever is killed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from tests.cluster.engines.company import Company, company
from tests.cluster.engines.streaming import FlinkEngine
from tests.cluster.engines.told import Told, tell, write
from tests.cluster.stack import Stack
from tests.exact.engines import Rows, difference
from tests.exact.models import PAIRS, Composer, Project
from tests.exact.shipped import SALES, sales_plan, specs
from tests.exact.tables import shop
from tests.polling import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SEED = 20_240_301
POISON = {
    "not JSON": (b'{"order_id": "p"}', b'{"op": "c", "after":'),
    "no UTF-8": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "\xff"}}'),
    "no op": (b'{"order_id": "p"}', b'{"after": {"order_id": "p"}}'),
    "a strange op": (b'{"order_id": "p"}', b'{"op": "t"}'),
    "no row": (b'{"order_id": "p"}', b'{"op": "u", "after": null}'),
    "no key column": (b"{}", b'{"op": "c", "after": {"customer_id": "C1"}}'),
    "a key that is none": (b"p", b'{"op": "c", "after": {"order_id": "p"}}'),
    "a tombstone of nothing": (b'{"other": 1}', None),
    "a field that does not fit": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "p", "ordered_at": "soon"}}'),
    "left out by TOAST": (b'{"order_id": "p"}', b'{"op":"u","after":{"order_id":"p","status":"__debezium_unavailable_value"}}'),
}


def differences(company: Company, told: Told) -> dict[str, str]:
    found: Mapping[str, Rows] = company.results()
    said = {name: difference(found[name], rows) for name, rows in told.expected.items()}
    return {name: text for name, text in said.items() if text}


@pytest.fixture(scope="module")
def history() -> list[Told]:
    plan = sales_plan()
    return tell(plan, specs(plan, SALES), SEED, [12, 6, 6, 6])


@pytest.fixture(scope="module")
def sales(stack: Stack, tmp_path_factory: pytest.TempPathFactory, history: list[Told]) -> Iterator[Company]:
    """The shipped project, on Flink; the tests below follow each other over one history."""
    made = company(stack, tmp_path_factory.mktemp("sales") / "sales", ROOT / "sales", history[0].plan)
    yield made
    FlinkEngine().stop(made)


def test_the_shipped_models_are_exact(sales: Company, history: list[Told]) -> None:
    write(sales.events, history[0], sales.topics)
    found = sales.project.json("flink", "deploy", "--timeout", "240", env=sales.env)
    assert found["way"] == "rebuilt"
    assert differences(sales, history[0]) == {}
    assert sales.project.json("flink", "deploy", env=sales.env)["way"] == "nothing to do"


def test_poison_goes_to_the_dead_letters_and_stops_nothing(sales: Company, history: list[Told], stack: Stack) -> None:
    topic = sales.topics["shop.orders"]
    for key, value in POISON.values():
        sales.events.raw(topic, key, value)
    others = [other for table, other in sales.topics.items() if table != "shop.orders"]
    for other in others:
        sales.events.raw(other, b"key", b"no change event")
    write(sales.events, history[1], sales.topics)
    FlinkEngine().settle(sales)
    assert differences(sales, history[1]) == {}
    until(lambda: len(_letters(stack, f"{topic}.dlq")) == len(POISON), timeout=60, what="the dead letters are there")
    letters = _letters(stack, f"{topic}.dlq")
    assert set(letters) == set(POISON.values())  # a compacted topic takes no record without a key
    until(lambda: {len(_letters(stack, f"{other}.dlq")) for other in others} == {1}, timeout=60)
    reasons = {headers["__connect.errors.exception.message"] for headers in letters.values()}
    assert "ordered_at: not a TIMESTAMPTZ: soon" in reasons
    assert {headers["__connect.errors.connector.name"] for headers in letters.values()} == {_name(sales)}


def test_a_killed_task_manager_changes_nothing(sales: Company, history: list[Told], stack: Stack) -> None:
    write(sales.events, history[2], sales.topics)
    stack.flink.task_manager.kill()
    stack.flink.task_manager.start()
    FlinkEngine().settle(sales)
    assert differences(sales, history[2]) == {}


def test_other_settings_go_on_from_a_savepoint(sales: Company, history: list[Told]) -> None:
    path = sales.project.folder / "topline.yml"
    written = yaml.safe_load(path.read_text())
    written["flink"]["checkpoint_interval"] = 3
    path.write_text(yaml.safe_dump(written))
    write(sales.events, history[3], sales.topics)
    found = sales.project.json("flink", "deploy", "--timeout", "240", env=sales.env)
    assert found["way"] == "restored"
    assert differences(sales, history[3]) == {}


def test_random_models_are_exact(stack: Stack, tmp_path: Path) -> None:
    random = Random(SEED)
    tables = shop(24)
    project = Project(tables, Composer(random, tables).compose(random.sample(PAIRS, 6)))
    project.write(tmp_path / "models")
    [told] = tell(project.plan(), tables, SEED, [12])
    made = company(stack, tmp_path / "random", tmp_path / "models", told.plan)
    write(made.events, told, made.topics)
    FlinkEngine().settle(made)
    FlinkEngine().stop(made)
    assert differences(made, told) == {}


def _name(made: Company) -> str:
    return f"topline-{yaml.safe_load((made.project.folder / 'topline.yml').read_text())['project']}"


def _letters(stack: Stack, topic: str) -> dict[tuple[bytes | None, bytes | None], dict[str, str]]:
    """(key, value) -> headers."""
    consumer = Consumer({"bootstrap.servers": stack.kafka.bootstrap, "group.id": "test", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    found: dict[tuple[bytes | None, bytes | None], dict[str, str]] = {}
    left = len(partitions)
    while left:
        message = consumer.poll(30)
        assert message is not None
        if message.error() is not None:
            left -= 1
            continue
        headers = {
            str(name): value.decode() if isinstance(value, bytes) else str(value)
            for name, value in dict(message.headers() or []).items()
        }
        found[message.key(), message.value()] = headers
    consumer.close()
    return found
