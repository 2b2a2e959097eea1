"""Named points at which a fault test may end the process, as a crash would. Without that test's variable they do nothing.

`TOPLINE_TEST_KILL_AT=append:before-commit` kills (SIGKILL) at the first pass of that point, `append:before-commit@3` at the
third; with `TOPLINE_TEST_KILL_ONCE=FILE`, passes count once FILE is there. A name is `part:step`; POINTS has every one, in the
order in which a sale meets them.
"""

import os
import signal
from pathlib import Path

VARIABLE = "TOPLINE_TEST_KILL_AT"
ONCE = "TOPLINE_TEST_KILL_ONCE"

# Each is placed once or more in the code, and reached by tests/faults/test_kills.py.
POINTS = {
    "copy:slot-made": "a slot with a snapshot stands at the source, nothing is copied",
    "copy:next-table": "the next table is about to be copied",
    "copy:mid-table": "a part of a table was copied, more of it is to come",
    "copy:all-read": "every table was copied, the stream has not begun",
    "copy:passed": "the stream has passed the last copy, and the slot is not confirmed",
    "stream:collected": "bytes of whole transactions came from the source database",
    "stream:decoded": "they are rows",
    "file:read": "a file was read to its end, which nobody knows yet",
    "file:sweep": "rows that its new version no longer has are about to be retracted",
    "poll:page": "a page of a polled source was received",
    "poll:end": "a poll has come to its end",
    "poll:sweep": "rows that a whole list no longer has are about to be retracted",
    "inbox:before-commit": "what was sent is written to the inbox, and not committed",
    "inbox:committed": "it is committed, and the sender was not answered",
    "inbox:before-letting-go": "the log has it, and the inbox too",
    "inbox:let-go": "the inbox has let go of it",
    "source:read": "a source has handed over rows",
    "queue:before": "they are about to be queued",
    "queue:after": "they wait in the queue",
    "engine:taken": "a batch was taken from the queues",
    "engine:folded": "it is folded, in memory",
    "append:letters": "its dead letters are written to the log, and not committed",
    "append:before-commit": "all of it is written to the log, and not committed",
    "append:after-commit": "the log has committed it",
    "engine:logged": "the sources are about to be told",
    "acknowledge:before": "a source's thread is about to let the source go on",
    "acknowledge:after": "the source may let go",
    "schema:before-commit": "the result tables are made or taken over, and not committed",
    "schema:after-commit": "they are, and nothing is published into new ones",
    "shadow:filled": "a shadow table is filled, and nobody sees it",
    "shadow:before-swap": "it is about to take its table's place",
    "shadow:swapped": "it has, in a transaction that is not committed",
    "publish:merged": "the changed rows are in the result tables, their epoch is not",
    "publish:before-commit": "so is their epoch, and nothing is committed",
    "publish:after-commit": "the epoch is visible",
    "publish:before-note": "the log is about to note that",
    "publish:noted": "it has",
    "checkpoint:written": "a checkpoint is in a temporary file",
    "checkpoint:before-note": "it has its name, and the log does not know of it",
    "checkpoint:noted": "the log knows, and older ones are still there",
    "compact:segment": "a new segment is written, more may follow",
    "compact:before-commit": "all new segments are, and the log does not know of them",
    "compact:named": "a transaction names them, and is not committed",
    "compact:after-commit": "it is, and what they replace is still there",
    "compact:before-removal": "what nobody reads is about to be removed",
    "compact:removed": "the files are removed, and the log still names them",
    "rebuild:read": "a part of the log was read for a new state",
    "rebuild:folded": "the new state is whole, in memory",
    "command:taken": "a command was taken from the results database",
    "command:carried-out": "it was carried out, and not answered",
    "command:answered": "it was answered",
    "resync:taken": "a source is paused, to be read anew",
    "resync:logged": "the log knows that it is",
    "replay:read": "a dead letter was read again, and is a row",
    "replay:logged": "the log has the row, and knows that the letter was replayed",
}
# Those of a worker that brings sources to Kafka, reached by tests/cluster/test_ingest.py.
INGEST_POINTS = {
    "ingest:written": "a transaction is written to Kafka with its positions, and not committed",
    "ingest:committed": "it is, and the source was not told",
}


class _Countdown:
    def __init__(self, setting: str) -> None:
        self.name, _, passes = setting.partition("@")
        self.left = int(passes or 1)
        self._once = Path(os.environ.get(ONCE) or "/")

    def reached(self) -> None:
        if not self._once.exists():
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


_armed = _Countdown(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def point(name: str) -> None:
    """The process dies here when a fault test names this point."""
    if _armed is not None and _armed.name == name:
        _armed.reached()
