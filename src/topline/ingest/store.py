"""Where a source's positions and memory lie while it is brought to Kafka: in a compacted topic, which its records' own
transaction writes. Who takes the source over reads it there.

Keys are JSON: `["position", partition]`, `["memory", name, piece]`, `["worker"]`. A memory longer than a record may be lies in
pieces.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from topline.changes import Position
from topline.errors import TransientError
from topline.kafka.client import OFFSET_BEGINNING, Client, KafkaError, Message, TopicPartition, arrived, failure, translated
from topline.sources.base import Resume

PIECE = 512 * 1024  # bytes: half of what a broker takes as it comes
_POSITION, _MEMORY, _WORKER = "position", "memory", "worker"
Record = tuple[bytes, bytes | None]


@dataclass(slots=True)
class Stored:
    """What is committed for one source. `pieces`: in how many the memory of a name lies."""

    positions: dict[str, Position] = field(default_factory=dict)
    memory: dict[str, bytes] = field(default_factory=dict)
    pieces: dict[str, int] = field(default_factory=dict)

    def resume(self) -> Resume:
        return Resume(dict(self.positions), dict(self.memory))

    def records(self, positions: Mapping[str, Position], memory: Mapping[str, bytes | None]) -> Iterator[Record]:
        """What to write for changes that are about to be committed."""
        for partition, position in positions.items():
            yield _key(_POSITION, partition), json.dumps(position).encode()
        for name, value in memory.items():
            pieces = [] if value is None else _pieces(value)
            for number, piece in enumerate(pieces):
                yield _key(_MEMORY, name, number), piece
            for number in range(len(pieces), self.pieces.get(name, 0)):
                yield _key(_MEMORY, name, number), None

    def commit(self, positions: Mapping[str, Position], memory: Mapping[str, bytes | None]) -> None:
        """They are. Who asked before keeps what he was given."""
        self.positions = {**self.positions, **positions}
        changed = {**self.memory, **memory}
        self.memory = {name: value for name, value in changed.items() if value is not None}
        self.pieces |= {name: 0 if value is None else len(_pieces(value)) for name, value in memory.items()}


def read(client: Client, topic: str, timeout: float) -> Stored:
    """All that is committed in a source's topic. TransientError where nothing comes for `timeout` seconds."""
    consumer = client.consumer(f"{topic}-reader")
    pieces: dict[str, dict[int, bytes]] = {}
    stored = Stored()
    try:
        with translated(f"read {topic}"):
            consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
            while True:
                found = arrived(consumer, 10_000, timeout)
                if not found:
                    raise TransientError(f"Kafka: cannot read {topic}: nothing came for {timeout:g} s")
                going = [_take(message, stored, pieces) for message in found]
                if not all(going):
                    break
    finally:
        consumer.close()
    for name, parts in pieces.items():
        if parts:
            stored.memory[name] = b"".join(parts[number] for number in sorted(parts))
            stored.pieces[name] = len(parts)
    return stored


def sign_of_life() -> Record:
    """A record that says who brings the source."""
    said = {"host": socket.gethostname(), "process": os.getpid(), "time": datetime.now(UTC).isoformat(timespec="seconds")}
    return _key(_WORKER), json.dumps(said).encode()


def _take(message: Message, stored: Stored, pieces: dict[str, dict[int, bytes]]) -> bool:
    """False at the end."""
    if (error := message.error()) is not None:
        if error.code() == KafkaError._PARTITION_EOF:
            return False
        raise failure(error, f"read {message.topic()}")
    kind, *rest = json.loads(message.key() or b"")
    if kind == _WORKER:
        return True
    name, *rest = rest
    value = message.value()
    if kind == _POSITION:
        stored.positions[name] = Position(*json.loads(value or b"[0, 0]"))
    elif value is None:
        pieces.get(name, {}).pop(rest[0], None)
    else:
        pieces.setdefault(name, {})[rest[0]] = value
    return True


def _key(*parts: str | int) -> bytes:
    return json.dumps(parts).encode()


def _pieces(value: bytes) -> list[bytes]:
    return [value[start : start + PIECE] for start in range(0, max(len(value), 1), PIECE)]
