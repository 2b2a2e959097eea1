"""Works beside the loop, in a thread of its own: writes the status, fetches commands, starts compaction."""

import contextlib
import queue
import threading
from collections.abc import Callable, Mapping

from topline.errors import ToplineError, TransientError
from topline.live.commands import RESYNC, Commands
from topline.live.loop import Engine
from topline.live.status import report
from topline.log import StoredLetter
from topline.results import Command, DeadLetterStatus, StatusWriter
from topline.results import Commands as Inbox

INTERVAL = 0.5  # seconds between two looks
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
        self._revive = revive
        self._waiting: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[int, bool, str]] = queue.SimpleQueue()
        self._letters_seen = -1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attendant", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Writes the last status and ends."""
        self._stop.set()
        self._thread.join(timeout=10)
        self._status.close()
        self._inbox.close()

    def turn(self) -> None:
        """Carry out the commands that wait. Between two turns of the loop, so that a command sees whole batches."""
        while self._engine.resyncs:
            self._commands.carry_out(RESYNC, {"target": self._engine.resyncs.pop()})
        while not self._waiting.empty():
            command = self._waiting.get()
            try:
                self._answers.put((command.id, True, self._commands.carry_out(command.kind, command.arguments)))
            except ToplineError as error:
                self._answers.put((command.id, False, str(error)))

    def _run(self) -> None:
        fetched = False
        while True:
            last = self._stop.is_set()
            try:
                if not fetched:
                    self._inbox.recover()
                    fetched = True
                self._look()
            except TransientError:  # the results database is down: publication says so, and the next look tries again
                self._try_to_revive()
            if last:
                return
            self._stop.wait(INTERVAL)

    def _try_to_revive(self) -> None:
        """The embedded server is ours to start again; another one is somebody else's."""
        with contextlib.suppress(ToplineError):
            self._revive()

    def _look(self) -> None:
        while not self._answers.empty():
            self._inbox.finish(*self._answers.get())
        for command in self._inbox.take():
            self._waiting.put(command)
        self._status.write(*report(self._engine, self._kinds), self._letters())
        log = self._engine.machinery.log
        if log.pending_rows > self._compact_rows:
            log.compact_in_background()

    def _letters(self) -> list[DeadLetterStatus]:
        """The newest dead letters, when there are other than at the last look."""
        log = self._engine.machinery.log
        count = log.letters.count()
        if count == self._letters_seen:
            return []
        self._letters_seen = count
        return [self._mirrored(stored) for stored in log.letters.list(state=None, limit=MIRRORED, newest_first=True)]

    def _mirrored(self, stored: StoredLetter) -> DeadLetterStatus:
        raw = self._engine.machinery.log.letters.raw(stored.id)
        return DeadLetterStatus(
            stored.id, stored.source, stored.table, stored.locator, stored.reason, stored.time, str(stored.state), raw
        )
