"""Works beside the loop, in a thread of its own: writes the status, fetches commands, starts compaction."""

import contextlib
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping

from topline.errors import ToplineError, TransientError
from topline.faults import point
from topline.live.commands import RESYNC, Commands
from topline.live.loop import Engine
from topline.live.status import report
from topline.log import StoredLetter
from topline.results import Command, DeadLetterStatus, StatusWriter
from topline.results import Commands as Inbox

INTERVAL = 0.5  # seconds between two looks
SETTLED = 5.0  # seconds until the first compaction: a run of a moment would end amid it, and nothing of it would stay
MIRRORED = 200  # newest dead letters shown in PostgreSQL


class Attendant:
    """`start` and `stop` its thread; `turn`, on the engine's thread, carries out what it fetched."""

    def __init__(
        self,
        engine: Engine,
        commands: Commands,
        status: StatusWriter,
        inbox: Inbox,
        kinds: Mapping[str, str],
        *,
        compact_rows: int,
        revive: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._commands = commands
        self._status = status
        self._inbox = inbox
        self._kinds = kinds
        self._compact_rows = compact_rows
        self._begun = time.monotonic()
        self._revive = revive
        self._waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, bool, str]] = queue.SimpleQueue()
        self._letters_seen: tuple[int, int] = (-1, -1)
        self._failure: Exception | None = None
        self._fetched = False
        self._unwritten: tuple[int, bool, str] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attendant", daemon=True)

    def start(self) -> None:
        """The first look is taken here, so that a run of a moment carries out what waits too."""
        if self._engine.machinery.publication.opened:
            with contextlib.suppress(TransientError):
                self._fetch()
        self._thread.start()

    def stop(self) -> None:
        """Writes the last status and ends."""
        self._stop.set()
        self._thread.join(timeout=10)
        self._status.close()
        self._inbox.close()

    def turn(self) -> None:
        """Carry out the commands that wait. Between two turns of the loop, so that a command sees whole batches.

        Raises what the thread beside died of: without it, nobody would hear of the engine.
        """
        if self._failure is not None:
            raise self._failure
        self._resync()
        while not self._waiting.empty():
            command = self._waiting.get()
            try:
                self._answers.put((command.id, True, self._commands.carry_out(command.kind, command.arguments)))
            except ToplineError as error:
                self._answers.put((command.id, False, str(error)))

    def _resync(self) -> None:
        """Tables that the engine itself wants read anew. A source that is busy is asked again at the next turn."""
        with contextlib.suppress(TransientError):
            while self._engine.resyncs:
                target = next(iter(self._engine.resyncs))
                self._commands.carry_out(RESYNC, {"target": target})
                self._engine.resyncs.discard(target)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._engine.machinery.log.require_there()
                self._try_to_look()
                self._stop.wait(INTERVAL)
            self._try_to_look()
        except Exception as error:  # noqa: BLE001 - the edge of a thread: `turn` raises it
            self._failure = error

    def _try_to_look(self) -> None:
        if self._engine.machinery.publication.stands_by:
            self._forget_keys()
            return
        if not self._engine.machinery.publication.opened:  # there may be no tables to write to
            self._try_to_revive()
            return
        try:
            self._look()
        except TransientError:  # the results database is down: publication says so, and the next look tries again
            self._try_to_revive()

    def _try_to_revive(self) -> None:
        """The embedded server is ours to start again; another one is somebody else's."""
        with contextlib.suppress(ToplineError, OSError, subprocess.SubprocessError):
            self._revive()

    def _fetch(self) -> None:
        if not self._fetched:
            self._inbox.recover()
            self._fetched = True
        for command in self._inbox.take():
            point("command:taken")
            self._waiting.put(command)

    def _look(self) -> None:
        self._answer()
        self._fetch()
        self._status.write(*report(self._engine, self._kinds), self._letters())
        self._compact()

    def _forget_keys(self) -> None:
        """Of a stand-by: all is published whole, should it come to that."""
        machinery = self._engine.machinery
        published = [name for name, model in machinery.plan.models.items() if model.published]
        machinery.log.mark_published(machinery.log.complete_epoch, published)
        self._compact()

    def _compact(self) -> None:
        log = self._engine.machinery.log
        if log.pending > self._compact_rows and time.monotonic() - self._begun >= SETTLED:
            log.compact_in_background(hurried=self._engine.behind())

    def _answer(self) -> None:
        """What was answered and could not be written is written at the next look."""
        while self._unwritten is not None or not self._answers.empty():
            self._unwritten = self._unwritten or self._answers.get()
            point("command:carried-out")
            self._inbox.finish(*self._unwritten)
            self._unwritten = None
            point("command:answered")

    def _letters(self) -> list[DeadLetterStatus]:
        """The newest dead letters, when there are other than at the last look."""
        letters = self._engine.machinery.log.letters
        newest = letters.list(state=None, limit=1, newest_first=True)
        seen = (newest[0].id if newest else 0, letters.count())
        if seen == self._letters_seen:
            return []
        self._letters_seen = seen
        return [self._mirrored(stored) for stored in letters.list(state=None, limit=MIRRORED, newest_first=True)]

    def _mirrored(self, stored: StoredLetter) -> DeadLetterStatus:
        raw = self._engine.machinery.log.letters.raw(stored.id)
        return DeadLetterStatus(
            stored.id, stored.source, stored.table, stored.locator, stored.reason, stored.time, str(stored.state), raw
        )
