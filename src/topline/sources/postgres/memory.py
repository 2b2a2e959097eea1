"""What the source remembers in the log, beside its position: which server it reads, and each table's copy LSN."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from topline.sources.postgres.shapes import Members, Shape

_TABLE = "table:"
_SERVER = "server"
_CONSISTENT = "consistent"


@dataclass(frozen=True, slots=True)
class Copied:
    """A table's copy: the LSN of its snapshot, whether all of it was handed over, the table's oid and columns' types then.

    members: its partitions, also those that were made since. terms: those of its publication.
    """

    lsn: int = 0
    done: bool = False
    oid: int = 0
    shape: Shape = field(default_factory=dict)
    members: Sequence[str] = ()
    terms: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """The server that positions refer to. `partition` is '' for the first, another for each that took its place."""

    system: str
    timeline: int
    partition: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """`consistent`: the copy LSN up to which the stream has already been seen to pass."""

    tables: Mapping[str, Copied]
    server: Server | None
    consistent: int

    @classmethod
    def load(cls, stored: Mapping[str, bytes]) -> "Memory":
        tables = {
            key.removeprefix(_TABLE): Copied(**json.loads(text)) for key, text in stored.items() if key.startswith(_TABLE)
        }
        server = Server(**json.loads(stored[_SERVER])) if _SERVER in stored else None
        return cls(tables, server, int(stored.get(_CONSISTENT, b"0")))

    def with_table(self, table: str, copied: Copied) -> "Memory":
        return replace(self, tables={**self.tables, table: copied})

    def grown(self, members: Mapping[str, Members]) -> "Memory":
        """The same, with these tables' partitions as they are now."""
        return replace(self, tables={n: replace(c, members=sorted(members.get(n, c.members))) for n, c in self.tables.items()})

    def without(self, tables: set[str]) -> "Memory":
        """The same, with these tables to be copied again."""
        return replace(self, tables={n: replace(c, done=False) if n in tables else c for n, c in self.tables.items()})

    @property
    def done(self) -> set[str]:
        return {name for name, copied in self.tables.items() if copied.done}

    def dump(self) -> dict[str, bytes | None]:
        stored: dict[str, bytes | None] = {_TABLE + name: _json(copied) for name, copied in self.tables.items()}
        if self.server is not None:
            stored[_SERVER] = _json(self.server)
        stored[_CONSISTENT] = str(self.consistent).encode()
        return stored


def _json(value: Copied | Server) -> bytes:
    return json.dumps(asdict(value)).encode()


def resync_memory(table: str) -> dict[str, bytes | None]:
    """Committed to the source's memory before `open`, this makes `table` (without the source's name) be copied again."""
    return {_TABLE + table: _json(Copied())}
