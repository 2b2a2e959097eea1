"""Who brings which source: Kafka's consumer group shares the partitions of one topic among the workers, one a source. Nothing
is written there or read."""

from collections.abc import Callable, Sequence

from topline.kafka.client import Client, Consumer, KafkaError, TopicPartition, failure

_SESSION = 10_000  # milliseconds without a sign of a worker until its sources go to others
Told = Callable[[Sequence[str]], None]


class Ownership:
    """`given` and `taken` are called in `poll`, with names of sources; a source goes to another worker once `taken` returns.

    Partitions are counted in the order of the sources' names in topline.yml, so all workers must have the same file.
    """

    def __init__(self, client: Client, topic: str, sources: Sequence[str], given: Told, taken: Told) -> None:
        self._topic, self._sources = topic, list(sources)
        self._given, self._taken = given, taken
        self._lost: KafkaError | None = None
        self._consumer: Consumer = client.consumer(
            topic,
            **{
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": _SESSION,
                "auto.offset.reset": "latest",
                "error_cb": self._note,
            },
        )
        self._consumer.subscribe([topic], on_assign=self._on_given, on_revoke=self._on_taken, on_lost=self._on_taken)

    def poll(self, seconds: float) -> None:
        """Take part in the group. TransientError where the brokers are gone, so that who waits hears of it."""
        message = self._consumer.poll(seconds)
        error = None if message is None else message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise failure(error, f"read {self._topic}")
        if self._lost is not None:
            lost, self._lost = self._lost, None
            raise failure(lost, "reach the brokers")

    def close(self) -> None:
        """Others may have the sources at once."""
        self._consumer.close()

    def _on_given(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        consumer.incremental_assign(list(partitions))
        consumer.pause(list(partitions))
        self._given(self._names(partitions))

    def _on_taken(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._taken(self._names(partitions))
        consumer.incremental_unassign(list(partitions))

    def _names(self, partitions: Sequence[TopicPartition]) -> list[str]:
        numbers = sorted(partition.partition for partition in partitions)
        return [self._sources[number] for number in numbers if number < len(self._sources)]

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._lost = error
