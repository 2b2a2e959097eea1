"""The replication connection: slots, START_REPLICATION, messages in and confirmations out.

PostgreSQL's streaming replication protocol (its manual, chapters "Streaming Replication Protocol" and "Logical Streaming
Replication Protocol") through `psycopg.pq`, whose use for this is not documented: tests/integration/postgres guards it.
"""

import struct
import time
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from topline.errors import TransientError
from topline.pgsilence import SESSION, Session
from topline.sources.postgres.connection import result_error, translated
from topline.sources.postgres.lsn import format_lsn, parse_lsn
from topline.sources.postgres.memory import Server
from topline.sources.postgres.tables import quote
from topline.sources.postgres.waiting import has_come, run, silent

_KEEPALIVE = struct.Struct(">xQqB")
_FEEDBACK = struct.Struct(">cQQQqB")
_PG_EPOCH = 946_684_800  # 2000-01-01 in Unix seconds: PostgreSQL counts time from there
_KEEPALIVE_KIND, _COMMIT_KIND, _KIND_AT = ord("k"), ord("C"), 25
_MOST_BYTES = 64 << 20
_FEEDBACK_EVERY = 10.0
_SLOWLY = 5  # so many times longer may a slot take, which waits for transactions that are open, and a copy


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot just made: its consistent point, and the name of the snapshot exported there."""

    lsn: int
    snapshot: str


@dataclass(frozen=True, slots=True)
class Collected:
    """Raw XLogData messages. `complete`: they end with a Commit. `end`: the server had nothing more up to this LSN."""

    messages: list[memoryview]
    complete: bool
    end: int | None = None


class Stream:
    """One replication connection. Errors: TransientError (lost), SourceHalted (slot or publication is not there)."""

    def __init__(self, conninfo: str, silence: float) -> None:
        """`silence`: seconds for which a server that was asked may say nothing; after them the connection is taken for lost."""
        with translated("connecting for replication"):
            self._session = Connection.connect(conninfo, autocommit=True)  # libpq's own way would stop every thread meanwhile
        self._connection: PGconn = self._session.pgconn
        self._silence = silence
        self._asked: float | None = None  # when the server was asked for a word, and has said none since
        self._messages: list[memoryview] = []
        self._cut = 0  # messages up to the last Commit
        self._bytes = 0
        self._end: int | None = None
        self._confirmed = 0
        self._spoke = 0.0

    def session(self) -> Session:
        """Our process at the server."""
        row = self._execute(SESSION)
        return int(_text(row, 0)), datetime.fromisoformat(_text(row, 1))

    def identify(self) -> Server:
        row = self._execute("IDENTIFY_SYSTEM")
        return Server(_text(row, 0), int(_text(row, 1)))

    def create_slot(self, name: str, temporary: bool) -> Slot:
        """The snapshot is good until this connection's next command; import it elsewhere before."""
        kind = "TEMPORARY LOGICAL" if temporary else "LOGICAL"
        command = f"CREATE_REPLICATION_SLOT {quote(name)} {kind} pgoutput (SNAPSHOT 'export')"
        with translated(f"making the slot {name}"):
            try:
                row = self._run(command, _SLOWLY * self._silence)
            except LockNotAvailable:
                raise TransientError(
                    f"the slot {name} waits for transactions that were open before it: see xact_start in pg_stat_activity"
                ) from None
        return Slot(parse_lsn(_text(row, 1)), _text(row, 2))

    def drop_slot(self, name: str) -> None:
        self._execute(f"DROP_REPLICATION_SLOT {quote(name)}")

    def start(self, slot: str, publication: str, lsn: int, confirmed: int) -> None:
        """Stream from `lsn` on. `confirmed`: what is committed here. Not `lsn`: copies that allow to begin there may not be
        committed yet, and a slot that has moved past them cannot go back after a crash."""
        names = quote(publication).replace("'", "''")
        self._confirmed = confirmed
        self._execute(
            f"START_REPLICATION SLOT {quote(slot)} LOGICAL {format_lsn(lsn)} (proto_version '1', publication_names '{names}')"
        )

    def collect(self, most: int, timeout: float) -> Collected | None:
        """What has come: up to the last Commit, or, of a transaction with more than `most` messages, a part.

        None when neither is there within `timeout` seconds. A transaction arrives after its commit, so the rest of one
        that has begun is on its way.
        """
        deadline = time.monotonic() + timeout
        while True:
            with translated("reading the replication stream"):
                self._drain(most)
            if self._cut or len(self._messages) >= most or self._bytes >= _MOST_BYTES:
                return self._take()
            if self._end is not None and not self._messages:
                end, self._end = self._end, None
                return Collected([], complete=True, end=end)
            if not self._wait(deadline - time.monotonic()):
                self._require_word()
                return None

    def ask(self) -> None:
        """Ask the server how far it is; it answers with a keep-alive."""
        self._feedback(reply=True)

    def confirm(self, lsn: int) -> None:
        """The server may let go of what lies before `lsn`."""
        if lsn > self._confirmed:
            self._confirmed = lsn
            self._feedback()

    def close(self) -> None:
        self._session.close()

    def _drain(self, most: int) -> None:
        """Everything that the connection holds, until `most` messages. The hot loop: a few operations a message."""
        receive, messages = self._connection.get_copy_data, self._messages
        while len(messages) < most and self._bytes < _MOST_BYTES:
            size, data = receive(1)
            if size <= 0:
                if size < 0:
                    self._ended()
                if not self._fill():
                    return
                continue
            if data[0] == _KEEPALIVE_KIND:
                self._hear(data)
                continue
            messages.append(data)
            self._bytes += size
            if data[_KIND_AT] == _COMMIT_KIND:
                self._cut = len(messages)

    def _fill(self) -> bool:
        """Read from the socket what is there; False when nothing is."""
        if not has_come(self._connection, 0):
            return False
        self._connection.consume_input()
        self._asked = None
        return True

    def _wait(self, seconds: float) -> bool:
        if time.monotonic() - self._spoke > _FEEDBACK_EVERY:
            self._feedback()
        return seconds > 0 and has_come(self._connection, seconds)

    def _require_word(self) -> None:
        """TransientError where the server was asked long ago. What it says while nobody reads here waits, and counts."""
        if self._asked is None or time.monotonic() - self._asked < self._silence or has_come(self._connection, 0):
            return
        with translated("reading the replication stream"):
            raise silent(self._silence)

    def _take(self) -> Collected:
        complete = self._cut > 0
        cut = self._cut or len(self._messages)
        taken, self._messages = self._messages[:cut], self._messages[cut:]
        self._cut, self._bytes = 0, sum(map(len, self._messages))
        self._end = None
        return Collected(taken, complete)

    def _hear(self, data: memoryview) -> None:
        end, _, wants_reply = _KEEPALIVE.unpack_from(data)
        self._end = end
        if wants_reply:
            self._feedback()

    def _feedback(self, reply: bool = False) -> None:
        self._spoke = time.monotonic()
        if reply and self._asked is None:
            self._asked = self._spoke
        micros = int((time.time() - _PG_EPOCH) * 1_000_000)
        with translated("confirming to the server"):
            lsn = self._confirmed
            self._connection.put_copy_data(_FEEDBACK.pack(b"r", lsn, lsn, lsn, micros, reply))
            self._connection.flush()

    def _ended(self) -> None:
        result = self._connection.get_result()
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise result_error(result)
        raise TransientError("the server ended the replication stream (it shuts down?)")

    def _execute(self, command: str) -> PGresult:
        with translated(command.split(" (")[0]):
            return self._run(command, self._silence)

    def _run(self, command: str, silence: float) -> PGresult:
        result = run(self._connection, command, silence)
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.COPY_BOTH):
            raise result_error(result)
        return result


def _text(result: PGresult, column: int) -> str:
    return (result.get_value(0, column) or b"").decode()
