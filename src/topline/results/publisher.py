"""Publishing: the live engine's changed rows become visible in PostgreSQL, whole epochs at a time."""

import json
import os
import secrets
import socket
import threading
from collections.abc import Mapping
from datetime import datetime

import psycopg

from topline.errors import FencedError, SchemaInUseError, StateError, TransientError
from topline.faults import point
from topline.pgsilence import Session
from topline.results import registry
from topline.results.arrays import MOST_ROWS, ArrayMerge
from topline.results.connection import PASSING, Connection, Cursor, halting, qualified, translated, with_retries
from topline.results.epoch import Changed, Epoch, Model, Opened, Replace, Whole, sources_of
from topline.results.merge import merge_all, merge_stage
from topline.results.opening import take_schema
from topline.results.registry import Writer
from topline.results.session import describe_writer, estimate_rows, keep_plans_small, open_session, prepare_stages
from topline.results.swap import fill_shadow, install_shadow
from topline.results.tables import require_names, shadow, stage
from topline.results.transfer import stage_all, stage_changes

CHANNEL = "topline"
PATIENT_SWAPS = 4  # then a table that readers hold is merged in place
REPLACE_FROM = 50_000  # fewer changed rows are always merged
_NOTIFY_LIMIT = 7_900


class Publisher:
    """The one writer of a results schema. Not thread-safe: one thread opens, publishes and closes.

    Raises TransientError for what the same epoch, published again, may heal; FencedError once another writer has taken
    over; ModelHalted, naming the model, for rows that PostgreSQL cannot hold.
    """

    def __init__(self, dsn: str, schema: str, *, state_id: str, engine: str = "live", swap_fraction: float = 0.3) -> None:
        self._dsn = dsn
        self._schema = schema
        self._fraction = swap_fraction
        holder = f"{socket.gethostname()}, process {os.getpid()}"
        self._writer = Writer(engine, state_id, 0, secrets.token_hex(8), holder)
        self._plan: Mapping[str, Model] = {}
        self._models: dict[str, Model] = {}
        self._stale: set[str] = set()
        self._rows: dict[str, int] = {}
        self._arrays: dict[str, ArrayMerge] = {}
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._given_up = threading.Event()
        self._shown = 0

    def open(self, models: Mapping[str, Model], *, epoch: int, published: Mapping[str, int], take_over: bool = False) -> Opened:
        """Become the writer, and make a table stand for each published model.

        `models`: the plan's, published or not (those between say which sources a model reads).
        `epoch`: the newest that this state has committed. `published`: model -> the last epoch that this state knows to
        be published. StateError when another engine holds the schema now; FencedError when another state, or a newer
        copy of this one, wrote it last and `take_over` is not set.
        """
        self._plan = models
        self._models = {name: model for name, model in models.items() if model.published}
        for model in self._models.values():
            require_names(model)
        connection = self._open()
        writer = Writer(self._writer.engine, self._writer.state_id, epoch, self._writer.token, self._writer.holder)
        try:
            with translated(), connection.transaction(), connection.cursor() as cursor:
                opened = take_schema(cursor, self._schema, writer, self._models, published, take_over=take_over)
                point("schema:before-commit")
            point("schema:after-commit")
            self._prepare(connection)
        except BaseException:
            self.close()
            raise
        self._stale = set(opened.must_republish)
        return opened

    def wants_replace(self, model: str, changed: int) -> bool:
        """Whether so many changed keys are cheaper as a whole new table; always, of one that must be republished."""
        if model in self._stale:
            return True
        return changed >= REPLACE_FROM and changed >= self._fraction * self._rows.get(model, 0)

    def publish(self, epoch: Epoch) -> dict[str, int]:
        """Make the epoch visible; returns model -> rows written. The order:

        1. Shadow tables of models that are replaced are filled, keyed, indexed and analysed, and committed: nobody sees them.
        2. A transaction begins; the writer's row is locked, must be ours, and no newer than this epoch (the fence).
        3. Each model's changed rows are merged (few from arrays, many by COPY to its stage); then shadows take the place of
           their tables.
        4. Each model's epoch and source times, each source's position, and the writer's epoch are recorded.
        5. NOTIFY topline, and COMMIT: all of it is visible, or nothing.
        """
        self._require_complete(epoch)
        try:
            connection = self._alive()
            with translated():
                self._fill(connection, epoch)
                return with_retries(lambda attempt: self._transaction(connection, epoch, attempt))
        finally:
            if self._connection is not None and self._connection.closed:
                self._connection = None

    def open_when_free(self, models: Mapping[str, Model]) -> Opened:
        """Wait until no other engine writes the schema, then become its writer; all must be published anew. For one thread.

        TransientError where the results database does not answer, or `give_up` was called.
        """
        while True:
            try:
                return self.open(models, epoch=0, published={}, take_over=True)
            except SchemaInUseError as error:
                if self._given_up.is_set():
                    raise TransientError(str(error)) from None

    def give_up(self) -> None:
        """Wait for the server no longer: what is under way fails with TransientError. From any thread."""
        self._given_up.set()

    def close(self) -> None:
        """Let go of the schema. May be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _alive(self) -> Connection:
        """The connection, made anew after it was lost; the fence then sees whether the schema is still ours."""
        if self._connection is None:
            connection = self._open()
            try:
                self._prepare(connection)
            except BaseException:
                self.close()  # one without stages is of no use
                raise
        assert self._connection is not None
        return self._connection

    def _open(self) -> Connection:
        connection = self._connection = open_session(self._dsn, self._schema, self._session)
        self._session = connection.session
        connection.given_up = self._given_up.is_set
        return connection

    def _prepare(self, connection: Connection) -> None:
        prepare_stages(connection, self._models.values())
        self._arrays = {name: ArrayMerge(self._schema, model) for name, model in self._models.items()}
        self._rows = {**estimate_rows(connection, self._schema, self._models), **self._rows}

    def _require_complete(self, epoch: Epoch) -> None:
        unknown = set(epoch.models) - set(self._models)
        if unknown:
            raise ValueError(f"not published models of this publisher: {sorted(unknown)}")
        partial = {name for name in self._stale & set(epoch.models) if isinstance(epoch.models[name], Changed)}
        if partial:
            raise ValueError(f"models that must be republished need all their rows, not a Changed: {sorted(partial)}")

    def _fill(self, connection: Connection, epoch: Epoch) -> None:
        for name, change in epoch.models.items():
            if isinstance(change, Replace):
                with halting(name), connection.transaction(), connection.cursor() as cursor:
                    self._rows[name] = fill_shadow(cursor, self._schema, self._models[name], change.chunks)
                point("shadow:filled")

    def _transaction(self, connection: Connection, epoch: Epoch, attempt: int) -> dict[str, int]:
        small = None if attempt else _small_changes(epoch)
        written = None if small is None else self._in_one_go(connection, epoch, small)
        if written is None:
            written = self._step_by_step(connection, epoch, attempt)
        point("publish:after-commit")
        self._stale -= set(epoch.models)
        self._shown = epoch.number
        return written

    def _in_one_go(self, connection: Connection, epoch: Epoch, changes: Mapping[str, Changed]) -> dict[str, int] | None:
        """A small epoch in one exchange with the server, where the end of a pipeline commits. None where something is wrong,
        and nothing of it stays: step by step, it is told what, and of which model."""
        try:
            with connection.pipeline(), connection.cursor() as cursor:
                keep_plans_small(cursor)
                registry.advance(cursor, self._schema, self._writer.token, (self._shown, epoch.number))
                queued = {name: self._arrays[name].queue(connection, change) for name, change in changes.items()}
                point("publish:merged")
                self._record(connection.cursor(), epoch)
                point("publish:before-commit")
        except psycopg.Error as error:
            if connection.closed or error.sqlstate is None or isinstance(error, PASSING):
                raise
            return None
        return {name: sum(cursor.rowcount for cursor in cursors) for name, cursors in queued.items()}

    def _step_by_step(self, connection: Connection, epoch: Epoch, attempt: int) -> dict[str, int]:
        written: dict[str, int] = {}
        with connection.transaction(), connection.cursor() as cursor:
            self._fence(registry.read_writer(cursor, self._schema, lock=True), epoch)
            for name, change in epoch.models.items():
                with halting(name):
                    written[name] = self._merge(cursor, self._models[name], change)
            for name, change in epoch.models.items():
                if isinstance(change, Replace):
                    point("shadow:before-swap")
                    with halting(name):
                        install_shadow(cursor, self._schema, self._models[name], in_place=attempt >= PATIENT_SWAPS)
                    point("shadow:swapped")
            point("publish:merged")
            registry.advance(cursor, self._schema, self._writer.token, (self._shown, epoch.number))
            self._record(cursor, epoch)
            point("publish:before-commit")
        return written

    def _fence(self, found: Writer | None, epoch: Epoch) -> None:
        if found is None or found.token != self._writer.token:
            raise FencedError(
                f"the result tables in the schema {self._schema!r} have been taken over by {describe_writer(found)}; "
                "this engine stops publishing"
            )
        if found.epoch > epoch.number:
            raise FencedError(f"epoch {epoch.number} lies behind epoch {found.epoch}, which {self._schema!r} shows already")
        if found.epoch < self._shown:
            raise StateError(
                f"the results database went back from epoch {self._shown} to {found.epoch}: a backup was restored under the "
                "engine. Start it again: it republishes what is missing"
            )

    def _merge(self, cursor: Cursor, model: Model, change: Changed | Replace | Whole) -> int:
        if isinstance(change, Changed):
            return self._merge_into(cursor, model, change, model.name)
        if isinstance(change, Whole):
            stage_all(cursor, model.schema, change.chunks)
            return merge_all(cursor, model.schema, qualified(self._schema, model.name), stage(model.name), within=change.within)
        if change.dirty is not None:
            self._merge_into(cursor, model, change.dirty, shadow(model.name))
        return self._rows[model.name]

    def _merge_into(self, cursor: Cursor, model: Model, change: Changed, table: str) -> int:
        stage_changes(cursor, model.schema, change.keys, change.rows)
        return merge_stage(cursor, model.schema, qualified(self._schema, table))

    def _record(self, cursor: Cursor, epoch: Epoch) -> None:
        behind = epoch.held | (self._stale - set(epoch.models))
        shown = {
            name: (model.fingerprint, self._times(name, epoch)) for name, model in self._models.items() if name not in behind
        }
        registry.record(cursor, self._schema, self._writer, epoch, shown)
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, self._notice(epoch)))

    def _times(self, model: str, epoch: Epoch) -> dict[str, datetime | None]:
        sources = sources_of(model, self._plan, epoch.source_times)
        return {source: epoch.source_times[source] for source in sorted(sources)}

    def _notice(self, epoch: Epoch) -> str:
        notice = {"schema": self._schema, "epoch": epoch.number, "models": sorted(epoch.models)}
        text = json.dumps(notice)
        return text if len(text) < _NOTIFY_LIMIT else json.dumps({**notice, "models": None})


def _small_changes(epoch: Epoch) -> dict[str, Changed] | None:
    """The epoch's changes where each is a small one."""
    small = {name: c for name, c in epoch.models.items() if isinstance(c, Changed) and len(c.keys) <= MOST_ROWS}
    return small if len(small) == len(epoch.models) else None
