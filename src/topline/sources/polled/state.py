"""What a pulled table remembers between polls, beside the rows that are known."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class TableState:
    """
    poll         number of the last poll that gave something: `hi` of its positions
    cursor       where the next poll begins; None: it lists everything
    loaded       a first list came to its end
    sweep_below  after a resync: what was not listed again at or above this poll's number is gone
    unclean      since that resync, a record could not be read: only a list that is whole and clean retracts
    letters      fingerprints of the records kept as dead letters, so that the next poll does not keep them again
    """

    poll: int = 0
    cursor: str | None = None
    loaded: bool = False
    sweep_below: int | None = None
    unclean: bool = False
    letters: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, memory: Mapping[str, bytes], name: str) -> "TableState":
        values: dict[str, Any] = json.loads(memory[name]) if name in memory else {}
        return cls(**values)
