"""Topics on a real broker: made as the settings say, never changed, and told of where they differ."""

import itertools

import pytest

from tests.cluster.stack import Stack
from topline.errors import SourceNotReady
from topline.kafka.client import Client
from topline.kafka.settings import KafkaSettings, Topics
from topline.kafka.topics import differences, ensure, ensure_dead_letters, look

pytestmark = pytest.mark.cluster
TIMEOUT = 20.0
_DAY = 24 * 60 * 60 * 1000
_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    return f"made_{next(_numbers)}.public.orders"


@pytest.fixture
def client(stack: Stack) -> Client:
    return Client(KafkaSettings(brokers=stack.kafka.bootstrap, format="json"), stack.folder)


def test_a_topic_is_made_as_told_and_only_once(client: Client, name: str) -> None:
    topics = Topics(partitions=4, compaction_lag_days=2, settings={"max.message.bytes": "5000000"})
    assert ensure(client.admin(), [name], topics, TIMEOUT) == [name]
    assert ensure(client.admin(), [name, f"{name}_2"], topics, TIMEOUT) == [f"{name}_2"]
    found = look(client.admin(), [name], TIMEOUT)[name]
    assert (found.partitions, found.replication) == (4, 1)
    assert found.settings["cleanup.policy"] == "compact"
    assert found.settings["min.compaction.lag.ms"] == found.settings["delete.retention.ms"] == str(2 * _DAY)
    assert found.settings["max.message.bytes"] == "5000000"
    assert differences(client.admin(), [name], topics, TIMEOUT) == {}


def test_dead_letters_are_kept_for_long_and_never_compacted(client: Client, name: str) -> None:
    topics = Topics(partitions=4, dead_letter_days=30, settings={"cleanup.policy": "compact", "max.message.bytes": "5000000"})
    assert ensure_dead_letters(client.admin(), [name], topics, TIMEOUT) == [f"{name}.dlq"]
    found = look(client.admin(), [f"{name}.dlq"], TIMEOUT)[f"{name}.dlq"]
    assert found.partitions == 1
    assert (found.settings["cleanup.policy"], found.settings["retention.ms"]) == ("delete", str(30 * _DAY))
    assert found.settings["max.message.bytes"] == "5000000"


def test_a_topic_that_is_there_is_told_of_and_not_changed(client: Client, name: str) -> None:
    ensure(client.admin(), [name], Topics(partitions=2), TIMEOUT)
    other = Topics(partitions=3, replication=2, compaction_lag_days=1)
    assert ensure(client.admin(), [name], other, TIMEOUT) == []
    assert differences(client.admin(), [name, "not_there"], other, TIMEOUT) == {
        name: {
            "partitions": ("3", "2"),
            "replication": ("2", "1"),
            "min.compaction.lag.ms": (str(_DAY), str(7 * _DAY)),
            "delete.retention.ms": (str(_DAY), str(7 * _DAY)),
        },
        "not_there": None,
    }


@pytest.mark.parametrize(
    ("topics", "word"),
    [
        (Topics(settings={"cleanup.polity": "compact"}), "cleanup.polity"),
        (Topics(settings={"retention.ms": "long"}), "retention.ms"),
        (Topics(replication=3), "eplication factor"),
    ],
)
def test_what_the_brokers_do_not_take_is_named(client: Client, name: str, topics: Topics, word: str) -> None:
    with pytest.raises(SourceNotReady, match=word) as raised:
        ensure(client.admin(), [name], topics, TIMEOUT)
    assert f"cannot make topic {name}" in str(raised.value)
