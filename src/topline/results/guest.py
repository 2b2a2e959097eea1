"""Result tables that another program writes (Flink): registered as their writer, filled beside what is there, and put in place.

The program writes each table through a view of its own. A view follows its table when that is renamed, so that a table can
be filled as a shadow and swapped in while the program goes on; and a view that is dropped fences its program.
"""

import json
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from psycopg import sql

from topline.errors import FencedError, StateError
from topline.results import registry
from topline.results.connection import Connection, Cursor, connect, qualified, require_server, translated, with_retries
from topline.results.epoch import Epoch, Model
from topline.results.registry import Writer
from topline.results.session import describe_writer, open_session
from topline.results.swap import drop_shadow, install_shadow
from topline.results.tables import (
    create_indexes,
    create_key,
    create_table,
    describe,
    has_shape,
    require_names,
    shadow,
    stands,
)

_VIEW = "_topline_guest_"
_JOB = "_topline_job"


def view_of(model: str) -> str:
    return f"{_VIEW}{model}"


def place_of(schema: str, model: str) -> str:
    """The quoted name of the view that a model is written through. Its columns are c0, c1, ..."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, view_of(model)))


class Guest:
    """One program's tables in a results schema. Not thread-safe; each method is a transaction of its own.

    FencedError where another writer's tables stand there, until `take_over`; StateError while that writer runs.
    """

    def __init__(self, dsn: str, schema: str, engine: str, state_id: str) -> None:
        self._dsn, self._schema = dsn, schema
        self._writer = Writer(engine, state_id, 0, secrets.token_hex(8), socket.gethostname())

    def prepare(self, models: Mapping[str, Model], details: Mapping[str, Any], *, take_over: bool) -> None:
        """Empty shadows, each behind its view; what stood in a view's place writes no more. `details`: see `job`."""
        for model in models.values():
            require_names(model)
        with _session(self._dsn, self._schema) as connection, connection.transaction(), connection.cursor() as cursor:
            registry.create_registry(cursor, self._schema)
            self._require_ours(cursor, take_over)
            drop_places(cursor, self._schema)
            for model in models.values():
                self._require_free(cursor, model)
                drop_shadow(cursor, self._schema, model.name)
                create_table(cursor, self._schema, shadow(model.name), model.schema)
                create_key(cursor, self._schema, shadow(model.name), model.schema.key)
                self._create_view(cursor, model, shadow(model.name))
            self._write_job(cursor, details)

    def swap(self, models: Mapping[str, Model], details: Mapping[str, Any], *, take_over: bool) -> None:
        """The filled shadows come in the place of the tables, and the program is their writer; tables of other models are left
        as they are, and retired."""
        with _session(self._dsn, self._schema) as connection:
            with_retries(lambda _: self._swap(connection, models, details, take_over))

    def stands(self, models: Mapping[str, Model]) -> bool:
        """Whether every model's table is in its shape, the program's, and behind its view."""
        with _looking(self._dsn, self._schema) as cursor:
            found = registry.read_writer(cursor, self._schema, lock=False)
            if found is None or (found.engine, found.state_id) != (self._writer.engine, self._writer.state_id):
                return False
            return all(self._fits(cursor, model) for model in models.values())

    def record(self, models: Mapping[str, Model], times: Mapping[str, datetime | None]) -> None:
        """The tables show what the sources had at `times`. FencedError where another has become their writer."""
        with _looking(self._dsn, self._schema) as cursor:
            found = registry.read_writer(cursor, self._schema, lock=True)
            if found is None or (found.engine, found.state_id) != (self._writer.engine, self._writer.state_id):
                raise FencedError(f"the result tables in the schema {self._schema!r} are of {describe_writer(found)} now")
            self._record(cursor, replace(found, epoch=found.epoch + 1), models, times)

    def job(self) -> dict[str, Any]:
        """What was noted of the program's job; nothing where there was none."""
        with _looking(self._dsn, self._schema) as cursor:
            cursor.execute("SELECT to_regclass(%s)", (f'"{self._schema}".{_JOB}',))
            if cursor.fetchone() == (None,):
                return {}
            cursor.execute(sql.SQL("SELECT details FROM {}").format(qualified(self._schema, _JOB)))
            row = cursor.fetchone()
            return {} if row is None else dict(row[0])

    def note(self, details: Mapping[str, Any]) -> None:
        """To be given back by `job`."""
        with _looking(self._dsn, self._schema) as cursor:
            self._write_job(cursor, details)

    def _swap(self, connection: Connection, models: Mapping[str, Model], details: Mapping[str, Any], take_over: bool) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            self._require_ours(cursor, take_over)
            found = registry.read_writer(cursor, self._schema, lock=True)
            writer = replace(self._writer, epoch=(found.epoch if found else 0) + 1)
            registry.write_writer(cursor, self._schema, writer)
            registry.retire_models(cursor, self._schema, set(registry.read_models(cursor, self._schema)) - set(models))
            for model in models.values():
                create_indexes(cursor, self._schema, shadow(model.name), model.indexes)
                describe(cursor, self._schema, shadow(model.name), model)
                install_shadow(cursor, self._schema, model, in_place=False)
                if not self._fits(cursor, model):  # merged in place: the view was the shadow's
                    self._create_view(cursor, model, model.name)
                registry.add_model(cursor, self._schema, model.name, disown=False)
            self._record(cursor, writer, models, {})
            self._write_job(cursor, details)

    def _record(
        self, cursor: Cursor, writer: Writer, models: Mapping[str, Model], times: Mapping[str, datetime | None]
    ) -> None:
        registry.write_writer(cursor, self._schema, writer)
        shown = {name: (model.fingerprint, dict(times)) for name, model in models.items()}
        registry.record(cursor, self._schema, writer, Epoch(writer.epoch, source_times=times), shown)

    def _require_ours(self, cursor: Cursor, take_over: bool) -> None:
        found = registry.read_writer(cursor, self._schema, lock=True)
        ours = found is None or (found.engine, found.state_id) == (self._writer.engine, self._writer.state_id)
        if not ours and not take_over:
            raise FencedError(
                f"the result tables in the schema {self._schema!r} were written by {describe_writer(found)}, not by this "
                "project's job. `topline flink deploy --take-over` replaces all of them"
            )

    def _require_free(self, cursor: Cursor, model: Model) -> None:
        known = registry.read_models(cursor, self._schema)
        if stands(cursor, self._schema, model.name) and model.name not in known:
            raise StateError(
                f"the table {self._schema}.{model.name} stands already and is not Topline's: rename it, or set results.schema"
            )

    def _fits(self, cursor: Cursor, model: Model) -> bool:
        cursor.execute(_BEHIND, (self._schema, view_of(model.name), model.name))
        return cursor.fetchone() is not None and has_shape(cursor, self._schema, model.name, model.schema)

    def _create_view(self, cursor: Cursor, model: Model, table: str) -> None:
        columns = sql.SQL(", ").join(
            sql.SQL("{} AS {}").format(sql.Identifier(name), sql.Identifier(f"c{i}"))
            for i, name in enumerate(model.schema.names)
        )
        view = qualified(self._schema, view_of(model.name))
        statement = sql.SQL("CREATE VIEW {} AS SELECT {} FROM {}")
        cursor.execute(statement.format(view, columns, qualified(self._schema, table)))

    def _write_job(self, cursor: Cursor, details: Mapping[str, Any]) -> None:
        statement = "INSERT INTO {} (details) VALUES (%s) ON CONFLICT (one) DO UPDATE SET details = excluded.details"
        cursor.execute(sql.SQL(statement).format(qualified(self._schema, _JOB)), (json.dumps(dict(details)),))


def drop_places(cursor: Cursor, schema: str) -> None:
    """The views through which other programs write: none of them writes any more."""
    cursor.execute("SELECT viewname FROM pg_views WHERE schemaname = %s AND starts_with(viewname, %s)", (schema, _VIEW))
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP VIEW {}").format(qualified(schema, name)))


@contextmanager
def _session(dsn: str, schema: str) -> Iterator[Connection]:
    """Alone with the schema."""
    connection = open_session(dsn, schema)
    try:
        with translated():
            yield connection
    finally:
        connection.close()


@contextmanager
def _looking(dsn: str, schema: str) -> Iterator[Cursor]:
    """A transaction beside whoever writes. The registry must be there."""
    connection = connect(dsn, "guest", lock_timeout="5s")
    try:
        with translated():
            require_server(connection, schema)
            with connection.transaction(), connection.cursor() as cursor:
                yield cursor
    finally:
        connection.close()


# The relation that a view reads is the model's table.
_BEHIND = """
SELECT 1 FROM pg_class v JOIN pg_namespace n ON n.oid = v.relnamespace
JOIN pg_rewrite r ON r.ev_class = v.oid
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class t ON t.oid = d.refobjid AND t.relnamespace = v.relnamespace
WHERE n.nspname = %s AND v.relname = %s AND t.relname = %s
"""
