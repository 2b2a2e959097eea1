"""What other processes ask of the running engine: rows that it takes, carries out and answers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from topline.results.connection import Connection, connect, qualified, translated

CHANNEL = "topline_commands"


@dataclass(frozen=True, slots=True)
class Command:
    id: int
    kind: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    ok: bool
    message: str


class Commands:
    """The commands of one results schema. One thread. A lost connection raises TransientError; the next call connects anew.

    A command that an engine took and did not finish is carried out again (`recover`), so a command must bear that.
    """

    def __init__(self, dsn: str, schema: str) -> None:
        self._dsn = dsn
        self._schema = schema
        self._connection: Connection | None = None

    def submit(self, kind: str, arguments: Mapping[str, Any]) -> int:
        """Ask; returns the command's number. The engine is told through NOTIFY topline_commands."""
        query = (
            "WITH new AS (INSERT INTO {} (kind, arguments) VALUES (%s, %s) RETURNING id) "
            "SELECT id, pg_notify(%s, id::text) FROM new"
        )
        return int(self._run(query, (kind, json.dumps(dict(arguments)), CHANNEL))[0][0])

    def take(self) -> list[Command]:
        """The commands that wait, oldest first; they are the caller's to finish."""
        query = (
            "WITH taken AS (UPDATE {} SET taken = now() WHERE taken IS NULL RETURNING id, kind, arguments) "
            "SELECT id, kind, arguments FROM taken ORDER BY id"
        )
        return [Command(*row) for row in self._run(query, ())]

    def finish(self, command: int, ok: bool, message: str) -> None:
        self._run("UPDATE {} SET finished = now(), ok = %s, message = %s WHERE id = %s RETURNING id", (ok, message, command))

    def answer(self, command: int) -> Answer | None:
        """None while it is not finished (or not known)."""
        rows = self._run("SELECT ok, message FROM {} WHERE id = %s AND finished IS NOT NULL", (command,))
        return Answer(*rows[0]) if rows else None

    def recover(self) -> int:
        """Put back what an engine that died had taken; for the engine, before its first `take`."""
        return len(self._run("UPDATE {} SET taken = NULL WHERE taken IS NOT NULL AND finished IS NULL RETURNING id", ()))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _run(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            before = None if self._connection is None else self._connection.session
            self._connection = connect(self._dsn, "commands", before, lock_timeout="5s")
        statement = sql.SQL(query).format(qualified(self._schema, "_topline_commands"))
        with translated():
            return self._connection.execute(statement, values).fetchall()
