"""A table's topic as its brokers have it: its id, its partitions, and from where to where they can be read."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from topline.errors import SourceNotReady
from topline.kafka.client import (
    AdminClient,
    ConfigResource,
    Consumer,
    ResourceType,
    TopicCollection,
    TopicPartition,
    translated,
)


@dataclass(frozen=True, slots=True)
class Topic:
    """`first`, `end`: partition -> the offset of the first record that is there, and that of the next one to come. `keeps`: for
    how many seconds a deletion is there at least."""

    name: str
    id: str
    first: Mapping[int, int]
    end: Mapping[int, int]
    keeps: float


def look(admin: AdminClient, consumer: Consumer, names: Sequence[str], timeout: float) -> dict[str, Topic]:
    """The topics by name. SourceNotReady for one that is not there, TransientError where the brokers do not answer."""
    found: dict[str, Topic] = {}
    for name, future in admin.describe_topics(TopicCollection(list(names)), request_timeout=timeout).items():
        with translated(f"look at topic {name}"):
            described = future.result(timeout)
        partitions = [partition.id for partition in described.partitions]
        ends = {partition: _watermarks(consumer, name, partition, timeout) for partition in partitions}
        first = {partition: low for partition, (low, _) in ends.items()}
        end = {partition: high for partition, (_, high) in ends.items()}
        found[name] = Topic(name, str(described.topic_id), first, end, _keeps(admin, name, timeout))
    return found


def _keeps(admin: AdminClient, name: str, timeout: float) -> float:
    """Compaction takes a deletion after `delete.retention.ms`; where nothing is compacted, its offset tells what is gone."""
    [future] = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name)], request_timeout=timeout).values()
    with translated(f"look at the settings of topic {name} (the right to DESCRIBE_CONFIGS)"):
        settings = future.result(timeout)
    if "compact" not in settings["cleanup.policy"].value:
        return math.inf
    return int(settings["delete.retention.ms"].value) / 1000


def _watermarks(consumer: Consumer, name: str, partition: int, timeout: float) -> tuple[int, int]:
    with translated(f"look at topic {name}"):
        low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=timeout, cached=False)
    return int(low), int(high)


def require_same_partitions(name: str, before: int, now: int, resync: str) -> None:
    """Keys are spread over partitions by their number: with another one, a key's changes lie in two, in no order."""
    if before and before != now:
        raise SourceNotReady(
            f"topic {name} had {before} partitions and has {now}: changes of a key no longer stand in order. Make the topic "
            f"anew with {now} partitions and fill it, or read what is there from the start: {resync}"
        )
