"""The models on Flink: after a history of every kind of change the results are those of the plain SQL, row for row, whatever
records come and whoever is killed."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from tests.cluster.engines.company import Company, company
from tests.cluster.engines.engine import FlinkEngine
from tests.cluster.engines.told import Told, tell
from tests.cluster.shop import changed
from tests.cluster.stack import Stack
from tests.exact.models import PAIRS, Composer, Project
from tests.exact.shipped import SALES, sales_plan, specs
from tests.exact.tables import shop
from tests.polling import until
from topline.kafka.client import Client
from topline.kafka.letters import TopicLetter, letters_of
from topline.kafka.settings import KafkaSettings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SEED = 20_240_301
PLAN = sales_plan()
TABLES = specs(PLAN, SALES)
POISON = {
    "not JSON": (b'{"order_id": "p"}', b'{"op": "c", "after":'),
    "no UTF-8": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "\xff"}}'),
    "no op": (b'{"order_id": "p"}', b'{"after": {"order_id": "p"}}'),
    "a strange op": (b'{"order_id": "p"}', b'{"op": "t"}'),
    "no row": (b'{"order_id": "p"}', b'{"op": "u", "after": null}'),
    "no key column": (b"{}", b'{"op": "c", "after": {"customer_id": "C1"}}'),
    "a key that is none": (b"p", b'{"op": "d"}'),
    "a deletion without its key": (b"{}", b'{"op": "d", "before": {"order_id": "p"}}'),
    "more than one object": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "p"}}{}'),
    "a NUL": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "p", "status": "a\\u0000b"}}'),
    "half a character": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "p", "status": "\\ud83d"}}'),
    "a tombstone of nothing": (b'{"other": 1}', None),
    "a field that does not fit": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "p", "ordered_at": "soon"}}'),
    "5 MB": (b'{"order_id": "p"}', b'{"op": "c", "after": {"order_id": "' + b"p" * (5 << 20)),
    "left out by TOAST": (b'{"order_id": "p"}', b'{"op":"u","after":{"order_id":"p","status":"__debezium_unavailable_value"}}'),
}


@pytest.fixture(scope="module")
def history() -> list[Told]:
    return tell(PLAN, TABLES, SEED, [12, 6, 6, 6, 6])


@pytest.fixture(scope="module")
def sales(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """The shipped project, on Flink; the tests below follow each other over one history."""
    made = company(stack, tmp_path_factory.mktemp("sales") / "sales", ROOT / "sales", PLAN, TABLES)
    yield made
    FlinkEngine().stop(made)


def test_the_shipped_models_are_exact(sales: Company, history: list[Told]) -> None:
    sales.feed.play(history[0].history)
    found = sales.project.json("flink", "deploy", "--timeout", "240", env=sales.env)
    assert found["way"] == "rebuilt"
    assert sales.differences(history[0].expected) == {}
    assert sales.project.json("flink", "deploy", env=sales.env)["way"] == "nothing to do"


def test_poison_goes_to_the_dead_letters_and_stops_nothing(sales: Company, history: list[Told], stack: Stack) -> None:
    topic = sales.feed.topic("shop.orders")
    for key, value in POISON.values():
        sales.feed.events.raw(topic, key, value)
    others = [sales.feed.topic(table) for table in TABLES if table != "shop.orders"]
    for other in others:
        sales.feed.events.raw(other, b"key", b"no change event")
    sales.feed.play(history[1].history)
    FlinkEngine().settle(sales)
    assert sales.differences(history[1].expected) == {}
    until(lambda: len(_letters(stack, topic)) == len(POISON), timeout=60, what="the dead letters are there")
    letters = _letters(stack, topic)
    # A compacted topic takes no record without a key.
    assert {(letter.key, letter.value) for letter in letters} == set(POISON.values())
    until(lambda: {len(_letters(stack, other)) for other in others} == {1}, timeout=60)
    assert "ordered_at: not a TIMESTAMPTZ: soon" in {letter.reason for letter in letters}
    assert {letter.by for letter in letters} == {_name(sales)}
    listed = sales.project.json("dead-letters", "topics", "--table", "shop.orders")
    assert {one["where"] for one in listed} == {letter.where for letter in letters}


def test_a_killed_task_manager_changes_nothing(sales: Company, history: list[Told], stack: Stack) -> None:
    sales.feed.play(history[2].history)
    stack.flink.task_manager.kill()
    stack.flink.task_manager.start()
    FlinkEngine().settle(sales)
    assert sales.differences(history[2].expected) == {}


def test_other_settings_go_on_from_a_savepoint(sales: Company, history: list[Told]) -> None:
    _tell_flink(sales, checkpoint_interval=3)
    sales.feed.play(history[3].history)
    found = sales.project.json("flink", "deploy", "--timeout", "240", env=sales.env)
    assert found["way"] == "restored"
    assert sales.differences(history[3].expected) == {}


@pytest.mark.long
def test_a_job_of_which_its_cluster_knows_nothing_goes_on_from_its_last_checkpoint(
    sales: Company, history: list[Told], stack: Stack
) -> None:
    """The JobManager keeps nothing (no high availability here): what `status` saw last is noted beside the results."""
    sales.project.json("flink", "status", env=sales.env)
    sales.feed.play(history[4].history)
    stack.flink.job_manager.kill()
    stack.flink.job_manager.start()
    until(lambda: stack.flink.task_manager.healthy, timeout=120, what="the TaskManager is back")
    found = sales.project.json("flink", "deploy", "--timeout", "240", env=sales.env)
    assert found["way"] == "restored"
    assert sales.differences(history[4].expected) == {}


@pytest.mark.long
def test_a_job_that_can_make_no_savepoint_is_ended_all_the_same(sales: Company, history: list[Told], stack: Stack) -> None:
    stack.flink.task_manager.kill()
    sales.project.json("flink", "stop", env=sales.env)
    stack.flink.task_manager.start()
    sales.project.json("flink", "deploy", "--timeout", "240", env=sales.env)
    assert sales.differences(history[4].expected) == {}


def test_avro_in_rocksdb_side_by_side_and_a_letter_is_read_again(stack: Stack, tmp_path: Path) -> None:
    """A record whose schema the registry lacks is a dead letter until it has it, and the letters are replayed."""
    first, second = tell(PLAN, TABLES, SEED + 1, [12, 6])
    made = company(stack, tmp_path / "avro", ROOT / "sales", PLAN, TABLES, "avro")
    _tell_flink(made, state="rocksdb", parallelism=2, mini_batch={"latency": 0})
    made.feed.play(first.history)
    FlinkEngine().settle(made)
    assert made.differences(first.expected) == {}
    topic = made.feed.topic("shop.orders")
    register = made.feed.events.name_later(topic, PLAN.tables["shop.orders"])
    made.feed.play(second.history)
    FlinkEngine().settle(made)
    assert {letter.reason.rpartition(" ")[0] for letter in _letters(stack, topic)} == {"the registry has no schema"}
    assert made.differences(second.expected) != {}
    register()
    replayed = made.project.json("dead-letters", "replay", "--engine", "flink", env=made.env)
    assert replayed["way"] == "rebuilt"
    assert made.differences(second.expected) == {}
    FlinkEngine().stop(made)


def test_random_models_are_exact(stack: Stack, tmp_path: Path) -> None:
    random = Random(SEED)
    tables = shop(24)
    project = Project(tables, Composer(random, tables).compose(random.sample(PAIRS, 6)))
    project.write(tmp_path / "models")
    plan = project.plan()
    [told] = tell(plan, tables, SEED, [12])
    made = company(stack, tmp_path / "random", tmp_path / "models", plan, tables)
    made.feed.play(told.history)
    FlinkEngine().settle(made)
    FlinkEngine().stop(made)
    assert made.differences(told.expected) == {}


def _tell_flink(made: Company, **settings: Any) -> None:
    with changed(made.project.folder) as written:
        written["flink"] |= settings


def _name(made: Company) -> str:
    return f"topline-{yaml.safe_load((made.project.folder / 'topline.yml').read_text())['project']}"


def _letters(stack: Stack, topic: str) -> list[TopicLetter]:
    return list(letters_of(Client(KafkaSettings(brokers=stack.kafka.bootstrap, format="json"), ROOT), topic))
