"""The inbox as the API writes it: a request is one transaction, and what is accepted is on the disk.

Requests that wait at the same time share one commit of SQLite, and so one fsync: the first one writes for all.
"""

import json
import sqlite3
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from topline.faults import point
from topline.sources.push import database
from topline.sources.push.refusals import InboxFull, KeyReused, Refusal

_FORGOTTEN_AT_ONCE = 20  # expired answers that a request takes out on its way


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key. `caller`: who sent it ('' while the API knows nobody by name); `digest`: of the body."""

    caller: str
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """Of what waits for the engine, by source; and for how many seconds an answer is remembered."""

    rows: int
    bytes: int
    remember: float


@dataclass(frozen=True, slots=True)
class Letter:
    """A record that is no row: kept byte for byte. `place`: in the body, from 0."""

    place: int
    raw: bytes
    reason: str
    locator: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request. `records`: rows and letters together; each takes a sequence number, in the body's order."""

    source: str
    table: str
    records: int
    data: bytes
    letters: tuple[Letter, ...]
    limits: Limits
    once: Once | None = None

    @property
    def size(self) -> int:
        return len(self.data) + sum(len(letter.raw) for letter in self.letters)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was accepted. `first` and `last` are sequence numbers in `generation`; `time` is in microseconds since 1970 (UTC),
    and grows from request to request. `replayed`: it was accepted before, under the same Idempotency-Key."""

    rows: int
    letters: int
    generation: int
    first: int
    last: int
    time: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of a source waits, what was accepted last, and what of it is in the log: (generation, sequence number)."""

    waiting_rows: int = 0
    waiting_bytes: int = 0
    accepted: tuple[int, int] = (0, 0)
    committed: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    outcome: Receipt | Exception | None = None


@dataclass(slots=True)
class _Counter:
    """Where numbering stands within one transaction."""

    generation: int
    seq: int
    time: int


@dataclass(slots=True)
class Inbox:
    """All threads of a process share one. TransientError: it cannot be written now, and nothing was kept."""

    path: Path
    _connection: sqlite3.Connection | None = None
    _identity: database.Identity = (0, 0)
    _waiting: list[_Waiting] = field(default_factory=list)
    _adding: threading.Lock = field(default_factory=threading.Lock)
    _using: threading.Lock = field(default_factory=threading.Lock)

    def accept(self, delivery: Delivery) -> Receipt:
        """Durable when it returns. InboxFull, KeyReused: nothing of it was kept."""
        mine = _Waiting(delivery)
        with self._adding:
            self._waiting.append(mine)
        with self._using:
            if mine.outcome is None:
                self._write_all()
        if isinstance(mine.outcome, Receipt):
            return mine.outcome
        assert mine.outcome is not None
        raise mine.outcome

    def answered(self, table: str, once: Once, remember: float) -> Receipt | None:
        """What a request with this key was answered before. KeyReused where it had another body."""
        with self._using, database.errors(self.path):
            return _answered(self._open(), table, once, remember)

    def standing(self, source: str) -> Standing:
        with self._using, database.errors(self.path):
            found = self._open().execute(
                "SELECT waiting_rows, waiting_bytes, generation, seq, gone_generation, gone_seq FROM sources WHERE source = ?",
                (source,),
            )
            row = found.fetchone()
        return Standing() if row is None else Standing(row[0], row[1], (row[2], row[3]), (row[4], row[5]))

    def close(self) -> None:
        with self._using:
            self._let_go()

    def _write_all(self) -> None:
        """Everything that waits, in one transaction."""
        with self._adding:
            together, self._waiting = self._waiting, []
        try:
            outcomes = self._written([one.delivery for one in together])
        except Exception as error:  # noqa: BLE001 - each one that waits raises it in its own thread
            outcomes = [error] * len(together)
        for one, outcome in zip(together, outcomes, strict=True):
            one.outcome = outcome

    def _written(self, deliveries: list[Delivery]) -> list[Receipt | Exception]:
        with database.errors(self.path):
            connection = self._open()
            with database.writing(connection):
                counter = _counter(connection)
                outcomes = [_stored(connection, delivery, counter) for delivery in deliveries]
                connection.executemany(
                    "UPDATE meta SET value = ? WHERE key = ?", [(counter.seq, "seq"), (counter.time, "time")]
                )
                point("inbox:before-commit")
            point("inbox:committed")
            return outcomes

    def _open(self) -> sqlite3.Connection:
        """The connection. A file that was restored or removed meanwhile is opened anew: nothing goes into a lost one."""
        if self._connection is not None and (not self.path.exists() or database.identity(self.path) != self._identity):
            self._let_go()
        if self._connection is None:
            connection = database.connect(self.path, durable=True)
            self._identity = database.identity(self.path)
            _begin_generation(connection)
            self._connection = connection
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _begin_generation(connection: sqlite3.Connection) -> None:
    """Numbers given out from here on are new, whatever backup this file comes from: a generation is a time (in ms)."""
    with database.writing(connection):
        connection.execute("UPDATE meta SET value = max(value + 1, ?) WHERE key = 'generation'", (time.time_ns() // 1_000_000,))


def _counter(connection: sqlite3.Connection) -> _Counter:
    found = dict(connection.execute("SELECT key, value FROM meta"))
    return _Counter(found["generation"], found["seq"], found["time"])


def _stored(connection: sqlite3.Connection, delivery: Delivery, counter: _Counter) -> Receipt | Exception:
    """Within the transaction. A refusal writes nothing, so that the others of the transaction may go on."""
    once, limits = delivery.once, delivery.limits
    try:
        before = _answered(connection, delivery.table, once, limits.remember) if once else None
        if before is not None:
            return before
        if delivery.records:
            _require_room(connection, delivery)
    except Refusal as refusal:
        return refusal
    counter.time = max(time.time_ns() // 1000, counter.time + 1)
    receipt = _receipt(delivery, counter)
    if delivery.records:
        _insert(connection, delivery, receipt)
        counter.seq = receipt.last
    if once is not None:
        _remember(connection, delivery.table, once, receipt, limits.remember)
    return receipt


def _receipt(delivery: Delivery, counter: _Counter) -> Receipt:
    letters = len(delivery.letters)
    first, last = counter.seq + 1, counter.seq + delivery.records
    return Receipt(delivery.records - letters, letters, counter.generation, first, last, counter.time)


def _require_room(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Whoever finds room may come in whole, so that what waits exceeds the limits by one request at most."""
    query = "SELECT waiting_rows, waiting_bytes FROM sources WHERE source = ?"
    rows, size = connection.execute(query, (delivery.source,)).fetchone() or (0, 0)
    if rows >= delivery.limits.rows or size >= delivery.limits.bytes:
        raise InboxFull(
            f"{rows} rows ({size} bytes) of {delivery.source} wait for the engine; at {delivery.limits.rows} rows or "
            f"{delivery.limits.bytes} bytes nothing more is taken. Send it again later; `topline status` shows the engine"
        )


def _insert(connection: sqlite3.Connection, delivery: Delivery, receipt: Receipt) -> None:
    connection.execute(
        "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            receipt.last,
            delivery.source,
            delivery.table,
            receipt.generation,
            receipt.first,
            receipt.time,
            delivery.size,
            delivery.data,
        ),
    )
    connection.executemany(
        "INSERT INTO letters VALUES (?, ?, ?, ?)",
        [(receipt.first + letter.place, letter.raw, letter.reason, letter.locator) for letter in delivery.letters],
    )
    connection.execute(
        "INSERT INTO sources VALUES (?1, ?2, ?3, ?4, ?5, 0, 0) ON CONFLICT (source) DO UPDATE SET "
        "waiting_rows = waiting_rows + ?2, waiting_bytes = waiting_bytes + ?3, generation = ?4, seq = ?5",
        (delivery.source, delivery.records, delivery.size, receipt.generation, receipt.last),
    )


def _answered(connection: sqlite3.Connection, table: str, once: Once, remember: float) -> Receipt | None:
    query = "SELECT digest, answer FROM answers WHERE table_name = ? AND caller = ? AND key = ? AND time >= ?"
    found = connection.execute(query, (table, once.caller, once.key, _expired(remember))).fetchone()
    if found is None:
        return None
    if found[0] != once.digest:
        raise KeyReused(once.key)
    return replace(Receipt(**json.loads(found[1])), replayed=True)


def _remember(connection: sqlite3.Connection, table: str, once: Once, receipt: Receipt, remember: float) -> None:
    answer = json.dumps(asdict(receipt))
    values = (table, once.caller, once.key, once.digest, receipt.time, answer)
    connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", values)
    forget_answers(connection, table, remember, _FORGOTTEN_AT_ONCE)


def forget_answers(connection: sqlite3.Connection, table: str, remember: float, most: int) -> None:
    """Take out answers to requests of `table` that are older than `remember` seconds, `most` at a time."""
    connection.execute(
        "DELETE FROM answers WHERE (table_name, caller, key) IN "
        "(SELECT table_name, caller, key FROM answers WHERE time < ? AND table_name = ? ORDER BY time LIMIT ?)",
        (_expired(remember), table, most),
    )


def _expired(remember: float) -> int:
    return int((time.time() - remember) * 1_000_000)
