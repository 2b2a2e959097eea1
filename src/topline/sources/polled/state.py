"""What a pulled table remembers between polls, beside the rows that are known."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(slots=True)
class TableState:
    """
    poll         number of the last poll that gave something: `hi` of its positions
    cursor       where the next poll begins; None: it lists everything
    loaded       a first list came to its end
    sweep_below  after a resync: what was not listed again at or above this poll's number is gone
    unclean      the last whole list since that resync had a record that cannot be read, or nothing: it swept nothing
    key          the key's columns and types, as of which rows are known
    asked        the settings by which it was read on; where they change, the cursor means something else
    known        each row that the log holds has its fingerprint in the memory; else what is gone could not be told
    """

    poll: int = 0
    cursor: str | None = None
    loaded: bool = False
    sweep_below: int | None = None
    unclean: bool = False
    key: str = ""
    asked: str = ""
    known: bool = False

    @property
    def sweeps_next(self) -> bool:
        """Whether the next poll is a whole list that is to sweep."""
        return self.sweep_below is not None and not self.unclean

    def read_anew(self, number: int) -> None:
        """Forget where it stands: list everything from poll `number` on, and sweep what does not come again."""
        self.poll = self.sweep_below = number
        self.cursor, self.unclean = None, False

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def load(cls, memory: Mapping[str, bytes], name: str) -> "TableState":
        values: dict[str, Any] = json.loads(memory[name]) if name in memory else {}
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
