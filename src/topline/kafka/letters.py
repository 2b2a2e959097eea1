"""The dead letters of a topic: what lies in `<topic>.dlq`, with the headers that Kafka Connect gives such records.

Source: Apache Kafka 4.3, "Kafka Connect: errors.deadletterqueue.context.headers.enable".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from topline.kafka.client import Client, Message
from topline.kafka.names import dead_letters_of
from topline.kafka.topics import look
from topline.kafka.whole import whole

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
    if (found := look(client.admin(), [letters], timeout).get(letters)) is None:
        return
    seen: set[TopicLetter] = set()
    for messages in whole(client, letters, found.partitions, timeout):
        for letter in (_letter(topic, message) for message in messages):
            if letter not in seen:
                seen.add(letter)
                yield letter


def _letter(topic: str, message: Message) -> TopicLetter:
    told = {
        name: value.decode(errors="replace")
        for name, value in dict(message.headers() or []).items()
        if isinstance(value, bytes)
    }
    place = "/".join(told[name] for name in (f"{ERRORS}partition", f"{ERRORS}offset") if name in told)
    by, reason = told.get(f"{ERRORS}connector.name", ""), told.get(f"{ERRORS}exception.message", "")
    return TopicLetter(topic, by, told.get(LOCATOR, place), reason, message.key(), message.value())
