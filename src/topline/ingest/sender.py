"""The producer of one source: records in transactions, in order, and never more waiting than memory bears."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from topline.changes import DeadLetter
from topline.errors import SourceHalted, WorkError
from topline.kafka.client import Client, KafkaError, KafkaException, Message, failure, translated
from topline.kafka.envelope import Records
from topline.kafka.letters import ERRORS, LOCATOR

_LONGEST = 600.0  # seconds that a transaction may last: a large one of the source is one here
_POLL = 0.1
_CHUNK, _CHUNK_BYTES = 10_000, 32 << 20  # of records that are handed over at once
_WAITING = 50_000  # records that may wait for the brokers; of large ones, a chunk
Header = tuple[str, str | bytes | None]


class Sender:
    """Errors: TransientError and SourceNotReady as in `kafka.client`; SourceHalted for a record that is too large."""

    def __init__(self, client: Client, name: str, timeout: float) -> None:
        """`name`: of the transactions. What another sender of this name has begun is ended, and it can write no more."""
        self._name = name
        self._begun = False
        self._failed: tuple[KafkaError, str] | None = None
        more = {"transaction.timeout.ms": int(_LONGEST * 1000), "queue.buffering.max.messages": 2 * _WAITING}
        self._producer = client.producer(name, **more)
        with translated(f"take over {name}"):
            self._producer.init_transactions(timeout)

    def send(self, topic: str, records: Records) -> None:
        for chunk, size in _chunks(records):
            self._begin()
            self._make_room(0 if size > _CHUNK_BYTES / 2 else _WAITING)
            with translated(f"write to {topic}"):
                self._producer.produce_batch(topic, chunk, on_delivery=self._note)
            for one in chunk:
                if "_error" in one:
                    self._failed = self._failed or (one["_error"], topic)  # type: ignore[assignment]
        self._require_sent()

    def put(self, topic: str, key: bytes, value: bytes | None, headers: Mapping[str, str] | None = None) -> None:
        told: list[Header] = [(name, text.encode()) for name, text in (headers or {}).items()]
        self._begin()
        self._make_room(_WAITING)
        try:
            self._producer.produce(topic, value, key, headers=told, on_delivery=self._note)
        except KafkaException as error:
            raise _failure(error.args[0], topic) from None

    def letter(self, topic: str, table_topic: str, connector: str, letter: DeadLetter) -> None:
        """With Kafka Connect's headers for records that cannot be read, and where the letter stood at its source."""
        headers = {
            f"{ERRORS}topic": table_topic,
            f"{ERRORS}connector.name": connector,
            f"{ERRORS}stage": "VALUE_CONVERTER",
            f"{ERRORS}exception.message": letter.reason,
            LOCATOR: letter.locator,
            "topline.partition": letter.partition,
            "topline.position": f"{letter.position.hi}/{letter.position.lo}",
        }
        self.put(topic, letter.locator.encode(), letter.raw, headers)

    def commit(self) -> None:
        """What was written since the last time is to be seen."""
        if not self._begun:
            return
        self._require_sent()
        try:
            self._producer.commit_transaction(_LONGEST)
        except KafkaException as error:
            self._require_sent()  # says more
            raise _failure(error.args[0], self._name) from None
        self._begun = False

    def idle(self) -> None:
        """To be called now and then while there is nothing to write."""
        self._producer.poll(0)

    def close(self) -> None:
        """What is not committed is not to be seen."""
        if self._begun:
            with suppress(KafkaException):
                self._producer.abort_transaction(5.0)

    def _begin(self) -> None:
        """With the first record: brokers know no transaction without one."""
        if not self._begun:
            with translated("begin a transaction"):
                self._producer.begin_transaction()
            self._begun = True

    def _make_room(self, most: int) -> None:
        while len(self._producer) > most:
            self._producer.poll(_POLL)
            self._require_sent()

    def _note(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failed is None:
            self._failed = (error, str(message.topic()))

    def _require_sent(self) -> None:
        if self._failed is not None:
            raise _failure(*self._failed)


def _chunks(records: Records) -> Iterator[tuple[list[dict[str, bytes | None]], int]]:
    """Records as the library takes them, and their bytes."""
    chunk: list[dict[str, bytes | None]] = []
    size = 0
    for key, value in zip(records.keys, records.values, strict=True):
        chunk.append({"key": key, "value": value})
        size += len(key) + len(value or b"")
        if len(chunk) == _CHUNK or size > _CHUNK_BYTES:
            yield chunk, size
            chunk, size = [], 0
    if chunk:
        yield chunk, size


def _failure(error: KafkaError, topic: str) -> WorkError:
    if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
        return SourceHalted(
            f"a row is larger than {topic} takes: raise the topic's `max.message.bytes` (`kafka.topics.settings` says it of "
            "topics that are made from then on)"
        )
    return failure(error, f"write to {topic}")
