"""What other processes ask of the engine (resync, replay): rows of a table in the results database, carried out in the loop."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from topline.changes import UPSERT, DeadLetter, SchemaChange, SourceBatch, TableChanges
from topline.errors import UsageError
from topline.faults import point
from topline.live.holds import fits
from topline.live.loop import Engine
from topline.log import LetterState, LogEntry, StoredLetter
from topline.sources.base import Resume, Source, reads_anew

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
        _require(kind, arguments)
        return self._kinds[kind](arguments)

    def _resync(self, arguments: Mapping[str, Any]) -> str:
        name, _, table = arguments["target"].partition(".")
        source = self._source(name)
        if table and f"{name}.{table}" not in self._engine.machinery.plan.tables:
            raise UsageError(f"the source {name} has no table {table!r}")
        machinery = self._engine.machinery
        positions, memory = machinery.log.resume(name)
        with machinery.readers.paused(name):
            forgotten = source.resync(table or None, Resume(positions, memory))
            point("resync:taken")
            machinery.log.append(LogEntry(memory={name: forgotten}))
            point("resync:logged")
            if not reads_anew(source):
                return self._take_up(arguments["target"])
            self._engine.holds.forget(arguments["target"], machinery.log)
        return f"{arguments['target']} is read anew: `topline status` shows how far it is"

    def _take_up(self, target: str) -> str:
        """A source that keeps nothing goes on: what was kept of its held tables is folded, for nobody could send it again."""
        plan, log = self._engine.machinery.plan, self._engine.machinery.log
        held = [name for name in self._engine.holds.tables if target in (name, name.partition(".")[0])]
        if misfits := [name for name in held if not fits(plan.tables[name], log.held(name))]:
            raise UsageError(
                f"{', '.join(misfits)}: what was kept meanwhile has other columns than the models declare now; declare the "
                "columns as they were, run this again, and change them then"
            )
        for table in held:
            log.declare({table: plan.tables[table]})
            self._engine.holds.outdated.discard(table)
            change = SchemaChange(table, plan.tables[table])
            self._engine.fold([SourceBatch(table.partition(".")[0], (change,))])
        return (
            f"{target} goes on. What was sent before cannot be read anew and stays as it is: a column that was declared since "
            "is NULL until the row is sent again"
        )

    def _source(self, name: str) -> Source:
        if name not in self._sources:
            raise UsageError(f"no source is named {name!r}; there are {', '.join(self._sources)}")
        return self._sources[name]

    def _replay(self, arguments: Mapping[str, Any]) -> str:
        outcomes = [self._replay_one(number) for number in arguments["letters"]]
        return "\n".join(outcomes)

    def _replay_one(self, number: int) -> str:
        log = self._engine.machinery.log
        stored = log.letters.get(number)
        if stored.state is not LetterState.OPEN:
            return f"{number}: {stored.state} already, nothing changed"
        if stored.table not in self._engine.machinery.plan.tables:
            return f"{number}: the models no longer declare {stored.table}"
        read = self._source(stored.source).reread(_letter(stored, log.letters.raw(number)))
        if isinstance(read, DeadLetter):
            return f"{number}: still unreadable: {read.reason}"
        keys = read.rows.select(self._engine.machinery.plan.tables[stored.table].key)
        rows = _without(read.rows, keys, log.later_changes(stored, keys))
        if not len(rows):
            log.mark_letter(number, LetterState.SUPERSEDED)
            return f"{number}: not applied, its row was changed later"
        point("replay:read")
        self._engine.fold([_replayed(stored, rows)], letters={number: LetterState.REPLAYED})
        point("replay:logged")
        left = len(read) - len(rows)
        return f"{number}: applied" + (f", but for {left} of {len(read)} rows, which were changed later" if left else "")


def _require(kind: str, arguments: Mapping[str, Any]) -> None:
    """Commands are rows that anybody with rights to the results may write: what is no command must not stop the engine."""
    letters, target = arguments.get("letters"), arguments.get("target")
    if kind == RESYNC and not isinstance(target, str):
        raise UsageError(f"{RESYNC} takes a `target`, SOURCE or SOURCE.TABLE; found {target!r}")
    if kind == REPLAY and not (isinstance(letters, list) and all(type(number) is int for number in letters)):
        raise UsageError(f"{REPLAY} takes `letters`, a list of numbers; found {letters!r}")


def _without(rows: pa.Table, keys: pa.Table, dropped: pa.Table) -> pa.Table:
    """The rows, in order, whose key is not among `dropped`."""
    if not len(dropped):
        return rows
    numbered = keys.append_column("~place", pa.array(np.arange(len(keys))))
    left = numbered.join(dropped.cast(keys.schema), keys=keys.column_names, join_type="left anti")
    return rows.take(pa.array(np.sort(left["~place"].to_numpy())))


def _letter(stored: StoredLetter, raw: bytes) -> DeadLetter:
    return DeadLetter(stored.table, stored.partition, stored.position, raw, stored.reason, stored.locator)


def _replayed(stored: StoredLetter, rows: pa.Table) -> SourceBatch:
    """The rows where the letter stood: what reads its partition anew and does not find them retracts them too.

    The batch has no positions, for this says nothing about where the source stands.
    """
    hi, lo = (np.full(len(rows), number, np.int64) for number in stored.position)
    changes = TableChanges(stored.table, stored.partition, rows, np.full(len(rows), UPSERT, np.int8), hi, lo)
    return SourceBatch(stored.source, (changes,))
