"""What a topic's reader remembers in the log, beside its positions (generation, offset)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one table's topic.

    topic       the id that its brokers gave it: a topic that is made again under its name has another
    partitions  how many it has; most: how many it ever had
    generation  `hi` of the positions: a reading from the start has the next one
    ended       the reading of this generation came to its end once
    rows        it gave something
    clean       nothing in it was unreadable
    seen        when it was last at its end, or begun, in seconds since 1970 (UTC)
    """

    topic: str = ""
    partitions: int = 0
    most: int = 0
    generation: int = 0
    ended: bool = False
    rows: bool = False
    clean: bool = True
    seen: float = 0.0

    @classmethod
    def load(cls, memory: Mapping[str, bytes], table: str) -> "Standing":
        return cls(**json.loads(memory[table])) if table in memory else cls()

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def anew(self, topic: str, partitions: int, now: float) -> "Standing":
        """Read from the start from now on."""
        return Standing(topic, partitions, max(partitions, self.most), self.generation + 1, seen=now)

    def forgotten(self) -> "Standing":
        """To be read from the start at the next opening, whatever stands there."""
        return replace(self, topic="", partitions=0)

    @property
    def sweeps(self) -> bool:
        """Whether what this generation did not see is gone: something was seen, and all of it could be read."""
        return self.generation > 1 and self.rows and self.clean
