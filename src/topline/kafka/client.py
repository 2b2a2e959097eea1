"""Doors to the brokers: an admin client, consumers, producers, and what their errors mean here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from topline.errors import ConfigError, SourceNotReady, TransientError, WorkError
from topline.kafka.settings import KafkaSettings, Tls, file_of

try:
    from confluent_kafka import (
        OFFSET_BEGINNING,
        Consumer,
        ConsumerGroupTopicPartitions,
        KafkaError,
        KafkaException,
        Message,
        Producer,
        TopicCollection,
        TopicPartition,
    )
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, ResourceType  # type: ignore[attr-defined]
except ImportError:
    raise ConfigError("Kafka needs the client library: pip install 'topline[kafka]'") from None

__all__ = [
    "OFFSET_BEGINNING", "AdminClient", "Client", "ConfigResource", "Consumer", "ConsumerGroupTopicPartitions", "KafkaError",
    "KafkaException", "Message",
    "NewPartitions", "NewTopic", "Producer", "ResourceType", "TopicCollection", "TopicPartition", "arrived",
    "failure", "translated",
]  # fmt: skip

_PERSON = frozenset(
    {
        "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "_SSL", "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED", "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC",
        "POLICY_VIOLATION", "_UNKNOWN_PARTITION", "INVALID_CONFIG", "INVALID_PARTITIONS", "INVALID_REPLICATION_FACTOR",
    }
)  # fmt: skip
"""Errors that no other try heals, by librdkafka's names."""
_TURNED_AWAY = frozenset({"_AUTHENTICATION", "_SSL"})


class Client:
    """The settings of a cluster as librdkafka takes them. ConfigError for a file that cannot be used."""

    def __init__(self, settings: KafkaSettings, root: Path, name: str = "topline") -> None:
        """`name`: what the brokers' logs and quotas know us by."""
        self.settings = settings
        self._admin: AdminClient | None = None
        self._refused: KafkaError | None = None
        self._common: dict[str, Any] = {
            "bootstrap.servers": settings.addresses,
            "client.id": name,
            "security.protocol": settings.protocol,
            "socket.timeout.ms": int(settings.timeout * 1000),
            "log_level": 2,  # what goes wrong comes as an error as well
            "error_cb": self._note,
            **_tls(settings.tls, root),
            **_sasl(settings),
        }

    @contextmanager
    def reaching(self) -> Iterator[None]:
        """What is done here fails as SourceNotReady where brokers turned this client away: no answer comes then."""
        self._turned_away()
        self._refused = None
        try:
            yield
        except TransientError as error:
            if (refused := self._turned_away()) is None:
                raise
            raise SourceNotReady(f"{error}: {refused.str()}") from None

    def admin(self) -> AdminClient:
        """One for all threads."""
        if self._admin is None:
            with _usable():
                self._admin = AdminClient(dict(self._common))
        return self._admin

    def consumer(self, group: str, **more: Any) -> Consumer:
        """Reads what is committed, from places that it is told: nothing is stored at the brokers."""
        ours = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
        }
        with _usable():
            return Consumer({**self._common, **ours, **more})

    def producer(self, transactional_id: str, **more: Any) -> Producer:
        """Writes transactions, each to be seen whole or not at all. Who begins with the same id later ends this one's."""
        ours = {
            "transactional.id": transactional_id,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",  # as Java's clients spread keys, Debezium's among them
        }
        with _usable():
            return Producer({**self._common, **ours, **more})

    def sender(self) -> Producer:
        """Writes single records, each on all copies before it is acknowledged."""
        with _usable():
            return Producer({**self._common, "enable.idempotence": True, "partitioner": "murmur2_random"})

    def _turned_away(self) -> KafkaError | None:
        """Why brokers let this client in no more, as far as they said so."""
        if self._admin is not None:
            self._admin.poll(0)  # it tells of errors only when it is asked
        return self._refused

    def _note(self, error: KafkaError) -> None:
        """TLS 1.3 tells who has no good certificate after the handshake, by an alert on the open connection."""
        if error.name() in _TURNED_AWAY or (error.name() == "_TRANSPORT" and "SSL alert" in error.str()):
            self._refused = error


def _tls(tls: Tls | None, root: Path) -> dict[str, str]:
    if tls is None:
        return {}
    files = {"ssl.ca.location": tls.ca, "ssl.certificate.location": tls.certificate, "ssl.key.location": tls.key}
    found = {name: file_of(root, path) for name, path in files.items() if path}
    if tls.key_password is not None:
        found["ssl.key.password"] = tls.key_password.get_secret_value()
    return found


def _sasl(settings: KafkaSettings) -> Mapping[str, str]:
    if settings.sasl is None:
        return {}
    return {
        "sasl.mechanism": settings.sasl.mechanism,
        "sasl.username": settings.sasl.username,
        "sasl.password": settings.sasl.password.get_secret_value(),
    }


@contextmanager
def _usable() -> Iterator[None]:
    """The library looks at certificates when a client is made."""
    try:
        yield
    except KafkaException as error:
        raise ConfigError(f"kafka: {error.args[0].str()}; PEM files are expected, and the password of the key") from None


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of the library in our words: TransientError, or SourceNotReady for what a person must mend."""
    try:
        yield
    except TimeoutError:
        raise TransientError(f"Kafka: cannot {doing}: the brokers do not answer") from None
    except KafkaException as error:
        raise failure(error.args[0], doing) from None


def arrived(consumer: Consumer, most: int, timeout: float) -> list[Message]:
    """What is there, at most so many. The library waits until it has as many as it is asked for, so the first is asked for
    alone."""
    first = consumer.poll(timeout)
    if first is None:
        return []
    return [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]


def failure(error: KafkaError, doing: str) -> WorkError:
    """What an error means: `doing` says what was tried (`read shop.public.orders`)."""
    text = f"Kafka: cannot {doing}: {error.str()} ({error.name()})"
    return SourceNotReady(text) if error.name() in _PERSON else TransientError(text)
