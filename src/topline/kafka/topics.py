"""Topics made as topline.yml says, before anybody writes to them or reads them. One that is there is never changed: where it
differs is told."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from topline.errors import SourceNotReady, TransientError
from topline.kafka.client import (
    AdminClient,
    ConfigResource,
    KafkaError,
    KafkaException,
    NewPartitions,
    NewTopic,
    ResourceType,
    TopicCollection,
    translated,
)
from topline.kafka.names import dead_letters_of
from topline.kafka.settings import Topics

_WEEK = str(7 * 24 * 60 * 60 * 1000)
_REST = 0.05  # seconds between two looks
Difference = tuple[str | None, str | None]
"""(as topline.yml says, as it is); None: it has none."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as its brokers have it."""

    partitions: int
    replication: int
    settings: Mapping[str, str] = field(default_factory=dict)


def table_settings(topics: Topics) -> dict[str, str]:
    """Of a table's topic: the last change of each key stays for ever, each change and each deletion for a while."""
    lag = str(topics.compaction_lag_ms)
    return {"cleanup.policy": "compact", "min.compaction.lag.ms": lag, "delete.retention.ms": lag, **topics.settings}


def letter_settings(topics: Topics) -> dict[str, str]:
    """Of a topic of dead letters: all are kept for a long while, whatever their keys."""
    return {**topics.settings, "cleanup.policy": "delete", "retention.ms": str(topics.dead_letters_ms)}


def ensure(admin: AdminClient, names: Collection[str], topics: Topics, timeout: float) -> list[str]:
    """Makes the tables' topics that are not there, and gives their names.

    SourceNotReady where this user may not, or the brokers do not take a setting; TransientError where they do not answer.
    """
    return _ensure(admin, names, (topics.partitions, topics.replication, table_settings(topics)), timeout)


def ensure_dead_letters(admin: AdminClient, names: Collection[str], topics: Topics, timeout: float) -> list[str]:
    """The same for the dead letters of these topics: `<topic>.dlq`, with one partition."""
    letters = [dead_letters_of(name) for name in names]
    return _ensure(admin, letters, (1, topics.replication, letter_settings(topics)), timeout)


def ensure_signals(admin: AdminClient, names: Collection[str], topics: Topics, timeout: float) -> list[str]:
    """The same for topics by which connectors are told what to do: one partition, kept for a week."""
    return _ensure(admin, names, (1, topics.replication, {"cleanup.policy": "delete", "retention.ms": _WEEK}), timeout)


def ensure_own(admin: AdminClient, names: Collection[str], topics: Topics, timeout: float) -> list[str]:
    """The same for topics in which Topline keeps what it must remember: one partition, the last record of each key."""
    settings = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}
    return _ensure(admin, names, (1, topics.replication, settings), timeout)


def widen(admin: AdminClient, name: str, partitions: int, timeout: float) -> None:
    """Give a topic so many partitions, where it has fewer. Not for one whose records have keys."""
    if partitions_of(admin, name, timeout) >= partitions:
        return
    with translated(f"give {name} {partitions} partitions"):
        for future in admin.create_partitions([NewPartitions(name, partitions)], request_timeout=timeout).values():
            future.result(timeout)


def partitions_of(admin: AdminClient, name: str, timeout: float) -> int:
    """How many a topic has. SourceNotReady for one that is not there."""
    found = _counts(admin, [name], timeout)
    if name not in found:
        raise SourceNotReady(f"Kafka: topic {name} is not there")
    return found[name][0]


def differences(
    admin: AdminClient, names: Collection[str], topics: Topics, timeout: float
) -> dict[str, dict[str, Difference] | None]:
    """Tables' topics that are not as topline.yml says: name -> what differs, None for one that is not there."""
    found = look(admin, names, timeout)
    described: dict[str, dict[str, Difference] | None] = {name: None for name in names if name not in found}
    for name, topic in found.items():
        if differing := _differing(topic, topics):
            described[name] = differing
    return described


def look(admin: AdminClient, names: Collection[str], timeout: float) -> dict[str, Found]:
    """Those of the topics that are there."""
    counts = _counts(admin, names, timeout)
    settings = _settings(admin, list(counts), timeout)
    return {name: Found(partitions, copies, settings[name]) for name, (partitions, copies) in counts.items()}


def _ensure(
    admin: AdminClient, names: Collection[str], wanted: tuple[int, int, Mapping[str, str]], timeout: float
) -> list[str]:
    known = _counts(admin, names, timeout)
    partitions, copies, settings = wanted
    missing = [NewTopic(name, partitions, copies, config=dict(settings)) for name in dict.fromkeys(names) if name not in known]
    if not missing:
        return []
    made = []
    for name, future in admin.create_topics(missing, request_timeout=timeout).items():
        with translated(f"make topic {name}"):
            try:
                future.result(timeout)
                made.append(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
                    raise
    _await(admin, names, timeout)
    return made


def _await(admin: AdminClient, names: Collection[str], timeout: float) -> None:
    """Until a broker knows them: the controller answers before the brokers have heard of what it made."""
    deadline = time.monotonic() + timeout
    while missing := set(names) - set(_counts(admin, names, timeout)):
        if time.monotonic() > deadline:
            raise TransientError(f"Kafka: topic {min(missing)} was made, and its brokers do not know it {timeout:.0f} s later")
        time.sleep(_REST)


def _counts(admin: AdminClient, names: Collection[str], timeout: float) -> dict[str, tuple[int, int]]:
    """(partitions, copies of each) of those of the topics that are there."""
    found: dict[str, tuple[int, int]] = {}
    if not names:
        return found
    for name, future in admin.describe_topics(TopicCollection(list(dict.fromkeys(names))), request_timeout=timeout).items():
        with translated(f"look at topic {name}"):
            try:
                described = future.result(timeout)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
                continue
        found[name] = len(described.partitions), len(described.partitions[0].replicas)
    return found


def _settings(admin: AdminClient, names: Collection[str], timeout: float) -> dict[str, dict[str, str]]:
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found: dict[str, dict[str, str]] = {}
    for resource, future in (admin.describe_configs(asked, request_timeout=timeout) if asked else {}).items():
        with translated(f"look at the settings of topic {resource.name} (the right to DESCRIBE_CONFIGS)"):
            found[resource.name] = {name: str(entry.value) for name, entry in future.result(timeout).items()}
    return found


def _differing(topic: Found, topics: Topics) -> dict[str, Difference]:
    wanted = {"partitions": str(topics.partitions), **table_settings(topics)}
    found = {"partitions": str(topic.partitions), "replication": str(topic.replication), **topic.settings}
    if topics.replication > 0:  # else it is the brokers' to say
        wanted["replication"] = str(topics.replication)
    return {name: (value, found.get(name)) for name, value in wanted.items() if found.get(name) != value}
