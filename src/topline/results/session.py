"""The writer's session: the one connection that holds the schema's lock, and the stages that its changes travel through."""

from collections.abc import Iterable

from psycopg import errors

from topline.errors import SchemaInUseError
from topline.pgsilence import Session
from topline.results import registry
from topline.results.connection import Connection, Cursor, connect, require_server, translated
from topline.results.epoch import Model
from topline.results.registry import Writer
from topline.results.tables import create_stage

_SMALL_PLANS = (
    "SELECT set_config(name, value, true) FROM (VALUES ('plan_cache_mode', 'force_generic_plan'), "
    "('enable_seqscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS s (name, value)"
)
LOCK_WAIT = "5s"  # also how long a killed engine's server process may take to let go of the schema


def open_session(dsn: str, schema: str, before: Session | None = None) -> Connection:
    """A connection that holds the schema's advisory lock. SchemaInUseError when another engine holds it and does not let go.

    `before`: the session that we had, which may hold it still where it was cut off.
    """
    connection = connect(dsn, "publisher", before, lock_timeout=LOCK_WAIT)
    try:
        with translated():
            require_server(connection, schema)
            _lock(connection, schema)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare_stages(connection: Connection, models: Iterable[Model]) -> None:
    with translated(), connection.cursor() as cursor:
        for model in models:
            create_stage(cursor, model.schema)


def keep_plans_small(cursor: Cursor) -> None:
    """What is prepared in this transaction is planned once, for few rows, however large its table is or will be."""
    cursor.execute(_SMALL_PLANS, prepare=True)


def estimate_rows(connection: Connection, schema: str, models: Iterable[str]) -> dict[str, int]:
    """About how many rows each table holds, as the last ANALYZE or VACUUM saw it."""
    statement = (
        "SELECT c.relname, greatest(c.reltuples, 0)::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = ANY (%s) AND c.relkind = 'r'"
    )
    with translated():
        return dict(connection.execute(statement, (schema, list(models))).fetchall())


def describe_writer(writer: Writer | None) -> str:
    if writer is None:
        return "one that has not said who it is yet"
    return f"the {writer.engine} engine of state {writer.state_id} ({writer.holder}), at epoch {writer.epoch}"


def _lock(connection: Connection, schema: str) -> None:
    try:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (f"topline:{schema}",))
    except errors.LockNotAvailable:
        raise SchemaInUseError(
            f"another engine writes the schema {schema!r} now: {describe_writer(_holder(connection, schema))}. "
            "Stop that one, or give this project a schema of its own (results.schema)"
        ) from None


def _holder(connection: Connection, schema: str) -> Writer | None:
    try:
        with connection.cursor() as cursor:
            return registry.read_writer(cursor, schema, lock=False)
    except errors.UndefinedTable:
        return None
