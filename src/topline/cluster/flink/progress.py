"""How far the job has read its topics, by the offsets that it notes at the brokers with each checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from topline.cluster.topics import Topic
from topline.kafka.client import (
    AdminClient,
    Client,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    TopicPartition,
    failure,
    translated,
)
from topline.kafka.settings import KafkaSettings
from topline.kafka.topics import ensure_dead_letters, partitions_of


@dataclass(frozen=True, slots=True)
class Lag:
    """Of one topic. `records`: offsets between what is noted and the end, marks of transactions among them; `unread`: whether
    a record is there."""

    table: str
    topic: str
    records: int
    unread: bool


Ends = Mapping[str, int]


class Progress:
    """To be closed. TransientError where the brokers do not answer."""

    def __init__(self, settings: KafkaSettings, root: Path, group: str) -> None:
        self._settings, self._group = settings, group
        client = Client(settings, root, "topline-flink")
        self._admin: AdminClient = client.admin()
        self._consumer: Consumer = client.consumer(f"{group}-watch")

    def close(self) -> None:
        self._consumer.close()

    def lags(self, topics: Sequence[Topic], ends: Ends) -> list[Lag]:
        """Up to `ends`, where a partition has one there; else up to where it ends now."""
        noted = self._noted()
        return [self._lag(topic, noted, ends) for topic in topics]

    def ends(self, topics: Sequence[Topic]) -> dict[str, int]:
        """Where the topics end now: `TOPIC/NUMBER` -> the offset of the next record to come."""
        names = [(topic.name, number) for topic in topics for number in self._partitions(topic.name)]
        return {f"{name}/{number}": self._marks(name, number)[1] for name, number in names}

    def make_letters(self, topics: Sequence[Topic]) -> None:
        """The topics of dead letters that are not there."""
        ensure_dead_letters(self._admin, [topic.name for topic in topics], self._settings.topics, self._settings.timeout)

    def _lag(self, topic: Topic, noted: dict[tuple[str, int], int], ends: Ends) -> Lag:
        behind: list[TopicPartition] = []
        records = 0
        for number in self._partitions(topic.name):
            low, high = self._marks(topic.name, number)
            high = min(high, ends.get(f"{topic.name}/{number}", high))
            at = max(noted.get((topic.name, number), low), low)
            if at < high:
                records += high - at
                behind.append(TopicPartition(topic.name, number, at))
        return Lag(topic.schema.name, topic.name, records, bool(behind) and self._holds(topic.name, behind))

    def _marks(self, topic: str, number: int) -> tuple[int, int]:
        with translated(f"look at topic {topic}"):
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(topic, number), timeout=self._settings.timeout, cached=False
            )
        return int(low), int(high)

    def _holds(self, topic: str, places: list[TopicPartition]) -> bool:
        """Whether a record is there: behind the last one there may be marks of transactions only."""
        left = len(places)
        with translated(f"read {topic}"):
            self._consumer.assign(places)
            while left:
                message = self._consumer.poll(self._settings.timeout)
                if message is None:
                    return True
                if (error := message.error()) is None:
                    return True
                if error.code() != KafkaError._PARTITION_EOF:
                    raise failure(error, f"read {topic}")
                left -= 1
        return False

    def _partitions(self, topic: str) -> range:
        return range(partitions_of(self._admin, topic, self._settings.timeout))

    def _noted(self) -> dict[tuple[str, int], int]:
        [future] = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self._group)]).values()
        with translated(f"look at the offsets of {self._group}"):
            found = future.result(self._settings.timeout).topic_partitions or []
        return {(one.topic, one.partition): one.offset for one in found if one.offset >= 0}
