"""A topic from its first record to where it ends."""

from collections.abc import Iterator
from contextlib import closing

from topline.errors import TransientError
from topline.kafka.client import OFFSET_BEGINNING, Client, KafkaError, Message, TopicPartition, arrived, failure, translated

_AT_ONCE = 50_000  # records


def whole(client: Client, topic: str, partitions: int, timeout: float) -> Iterator[list[Message]]:
    """What is committed, each partition's records in order, as they arrive. TransientError where nothing comes for `timeout`
    seconds before all ends were met."""
    unread = set(range(partitions))
    with closing(client.consumer(f"{topic}-reader")) as consumer, translated(f"read {topic}"):
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in unread])
        while unread:
            messages = arrived(consumer, _AT_ONCE, timeout)
            if not messages:
                raise TransientError(f"Kafka: cannot read {topic}: nothing came for {timeout:g} s")
            yield [message for message in messages if not _ended(message, unread)]


def _ended(message: Message, unread: set[int]) -> bool:
    """Whether it says that a partition is at its end."""
    if (error := message.error()) is None:
        return False
    if error.code() != KafkaError._PARTITION_EOF:
        raise failure(error, f"read {message.topic()}")
    unread.discard(int(message.partition() or 0))
    return True
