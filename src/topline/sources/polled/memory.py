"""One table's memory between its source's opening and closing, and what a change of its settings makes of it."""

from dataclasses import dataclass
from typing import NamedTuple

from topline.sources.base import Resume
from topline.sources.polled.known import Known
from topline.sources.polled.records import TableShape
from topline.sources.polled.state import TableState


class Ways(NamedTuple):
    """How a table is read under today's settings. `stored`: what is known of its rows is kept in the memory."""

    key: str
    asked: str
    stored: bool

    @classmethod
    def of(cls, shape: TableShape, incremental: bool) -> "Ways":
        settings = shape.settings
        key = ", ".join(f"{name} {shape.schema.type_of(name)}" for name in shape.schema.key)
        asked = [] if settings.cursor is None else [settings.cursor.model_dump_json(include={"field", "type"})]
        asked += [] if settings.deleted is None else [settings.deleted.model_dump_json()]
        return cls(key, " ".join(asked), not incremental or settings.compare_every is not None)


@dataclass(slots=True)
class TableMemory:
    """`letters`: fingerprints of the records kept as dead letters, so that the next poll does not keep them again.
    `written`: the state as it was handed on last; `stale`: entries to forget with the next batch; `missed`: keys that the last
    list did not give, and that are not taken for gone yet; `confirms`: the next list is to tell. These two are not written."""

    name: str
    state: TableState
    known: Known
    letters: Known
    written: bytes
    stale: tuple[str, ...] = ()
    missed: frozenset[str] = frozenset()
    confirms: bool = False

    @classmethod
    def load(cls, name: str, resume: Resume, ways: Ways, issued: int) -> "TableMemory":
        """`issued`: the highest poll number that this process handed out for the table."""
        state = TableState.load(resume.memory, name)
        written = state.encode()
        state.poll = max(state.poll, stands(resume, name))
        usable = ways.stored and state.known and state.key == ways.key
        if not usable:
            _begin_again(state, ways, issued)
        if state.asked != ways.asked:
            state.cursor = None
        state.key, state.asked, state.known = ways.key, ways.asked, ways.stored
        stale = () if usable else tuple(entry for entry in resume.memory if entry.startswith(_rows(name)))
        known = Known.load(_rows(name), ways.stored, resume.memory if usable else {})
        return cls(name, state, known, Known.load(_letters(name), True, resume.memory), written, stale)

    def changes(self) -> dict[str, bytes | None]:
        """What to write for all that changed since the last call."""
        memory: dict[str, bytes | None] = dict.fromkeys(self.stale)
        self.stale = ()
        memory |= self.known.changes() | self.letters.changes()
        if (state := self.state.encode()) != self.written:
            memory[self.name] = self.written = state
        return memory


def forgotten(name: str, resume: Resume, number: int) -> dict[str, bytes | None]:
    """What a resync makes of a table's memory."""
    before = TableState.load(resume.memory, name)
    state = TableState(loaded=before.loaded)
    state.read_anew(number)
    chunks = [entry for entry in resume.memory if entry.startswith((_rows(name), _letters(name)))]
    return {**dict.fromkeys(chunks), name: state.encode()}


def stands(resume: Resume, name: str) -> int:
    """The number of the poll up to which the log has the table."""
    position = resume.positions.get(name)
    return position.hi if position else 0


def _begin_again(state: TableState, ways: Ways, issued: int) -> None:
    """What is known does not serve. Rows that the log has all the same, and the origin no more, are found by a sweep."""
    if state.poll and (ways.stored or state.key != ways.key):
        state.read_anew(max(state.poll, issued) + 1)


def _rows(name: str) -> str:
    return f"{name}:known:"


def _letters(name: str) -> str:
    return f"{name}:letters:"
