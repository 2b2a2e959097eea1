"""What other processes ask of the engine (resync, replay): rows of a table in the results database, carried out in the loop."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from topline.changes import UPSERT, DeadLetter, Position, SourceBatch, TableChanges
from topline.errors import UsageError
from topline.live.loop import Engine
from topline.log import LetterState, LogEntry, StoredLetter
from topline.sources.base import Resume, Source

REPLAY = "replay"
RESYNC = "resync"


class Commands:
    """Carries out one command at a time, between two turns of the loop. Each answers with a sentence for the asker."""

    def __init__(self, engine: Engine, sources: Mapping[str, Source]) -> None:
        self._engine = engine
        self._sources = sources
        self._kinds: dict[str, Callable[[Mapping[str, Any]], str]] = {REPLAY: self._replay, RESYNC: self._resync}

    def carry_out(self, kind: str, arguments: Mapping[str, Any]) -> str:
        """UsageError when the command is unknown, or names what is not there."""
        if kind not in self._kinds:
            raise UsageError(f"unknown command {kind!r}; there are {', '.join(self._kinds)}")
        return self._kinds[kind](arguments)

    def _resync(self, arguments: Mapping[str, Any]) -> str:
        name, _, table = str(arguments["target"]).partition(".")
        source = self._source(name)
        machinery = self._engine.machinery
        positions, memory = machinery.log.resume(name)
        with machinery.readers.paused(name):
            forgotten = source.resync(table or None, Resume(positions, memory))
            machinery.log.append(LogEntry(memory={name: forgotten}))
            self._engine.holds.forget(arguments["target"], machinery.log)
        return f"{arguments['target']} is read anew: `topline status` shows how far it is"

    def _source(self, name: str) -> Source:
        if name not in self._sources:
            raise UsageError(f"no source is named {name!r}; there are {', '.join(self._sources)}")
        return self._sources[name]

    def _replay(self, arguments: Mapping[str, Any]) -> str:
        outcomes = [self._replay_one(int(number)) for number in arguments["letters"]]
        return "\n".join(outcomes)

    def _replay_one(self, number: int) -> str:
        log = self._engine.machinery.log
        stored = log.letters.get(number)
        if stored.state is not LetterState.OPEN:
            return f"{number}: {stored.state} already, nothing changed"
        read = self._source(stored.source).reread(_letter(stored, log.letters.raw(number)))
        if isinstance(read, DeadLetter):
            return f"{number}: still unreadable: {read.reason}"
        key = read.rows.select(self._engine.machinery.plan.tables[stored.table].key)
        if log.later_change(stored, key):
            log.mark_letter(number, LetterState.SUPERSEDED)
            return f"{number}: not applied, its row was changed later"
        self._engine.fold([_replayed(stored, read)], letters={number: LetterState.REPLAYED})
        return f"{number}: applied"


def _letter(stored: StoredLetter, raw: bytes) -> DeadLetter:
    return DeadLetter(stored.table, stored.partition, stored.position, raw, stored.reason, stored.locator)


def _replayed(stored: StoredLetter, read: TableChanges) -> SourceBatch:
    """The row in a partition of the letter's own: its position says nothing about where the source stands."""
    partition = f"replay:{stored.id}"
    count = len(read)
    rows = replace(
        read, table=stored.table, partition=partition, ops=np.full(count, UPSERT, np.int8), hi=np.ones(count, np.int64),
        lo=np.arange(1, count + 1, dtype=np.int64),
    )  # fmt: skip
    return SourceBatch(stored.source, (rows,), {partition: Position(1, count)})
