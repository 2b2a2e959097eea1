"""The dead letters of a topic: what lies in `<topic>.dlq`, with the headers that Kafka Connect gives such records.

Source: Apache Kafka 4.3, "Kafka Connect: errors.deadletterqueue.context.headers.enable".
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from topline.kafka.client import OFFSET_BEGINNING, Client, KafkaError, Message, TopicPartition, failure, translated
from topline.kafka.names import dead_letters_of
from topline.kafka.topics import look, partitions_of

ERRORS = "__connect.errors."
"""What the headers begin with."""
LOCATOR = "topline.locator"
"""The header that says where a record stood at its source."""


@dataclass(frozen=True, slots=True)
class TopicLetter:
    """`by`: whose it is, a job's or a connector's name; `where`: the record's partition and offset in its topic, or what its
    reader calls its place; `key` and `value` as they were."""

    topic: str
    by: str
    where: str
    reason: str
    key: bytes | None
    value: bytes | None


def letters_of(client: Client, topic: str) -> Iterator[TopicLetter]:
    """Of one topic, as far as they are there now; one that was written twice is told once; none where the topic has no topic
    of dead letters. TransientError where the brokers do not answer."""
    letters, timeout = dead_letters_of(topic), client.settings.timeout
    if letters not in look(client.admin(), [letters], timeout):
        return
    seen: set[TopicLetter] = set()
    for message in _messages(client, letters, range(partitions_of(client.admin(), letters, timeout))):
        letter = _letter(topic, message)
        if letter not in seen:
            seen.add(letter)
            yield letter


def _messages(client: Client, topic: str, partitions: range) -> Iterator[Message]:
    """All of a topic, to where it ends."""
    with closing(client.consumer(f"{topic}-reader")) as consumer, translated(f"read {topic}"):
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        left = len(partitions)
        while left:
            message = consumer.poll(client.settings.timeout)
            if message is None:
                raise failure(KafkaError(KafkaError._TIMED_OUT), f"read {topic}")
            if (error := message.error()) is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left -= 1
            else:
                raise failure(error, f"read {topic}")


def _letter(topic: str, message: Message) -> TopicLetter:
    told = {
        name: value.decode(errors="replace")
        for name, value in dict(message.headers() or []).items()
        if isinstance(value, bytes)
    }
    place = "/".join(told[name] for name in (f"{ERRORS}partition", f"{ERRORS}offset") if name in told)
    by, reason = told.get(f"{ERRORS}connector.name", ""), told.get(f"{ERRORS}exception.message", "")
    return TopicLetter(topic, by, told.get(LOCATOR, place), reason, message.key(), message.value())
