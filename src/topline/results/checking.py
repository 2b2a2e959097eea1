"""Whether the results database can be published to: looked at before anything runs, and nothing is changed."""

from psycopg import sql

from topline.errors import ConfigError, ToplineError
from topline.results.connection import Connection, connect, require_server, translated
from topline.results.registry import read_writer
from topline.results.session import describe_writer

_NEEDS_CREATE = "GRANT CREATE ON DATABASE {database} TO {user}"
_NEEDS_SCHEMA = "ALTER SCHEMA {schema} OWNER TO {user}"


def check_results(dsn: str, schema: str, state_id: str = "") -> list[tuple[str, str]]:
    """(problem, remedy) of everything that publishing to `schema` would meet; empty when all is well.

    `state_id`: of the state that would publish; '' while there is none, and then nobody may have written before.
    """
    try:
        connection = connect(dsn, "check")
    except ToplineError as error:
        return [(str(error), "start the database, or correct results.dsn")]
    with connection, translated():
        try:
            require_server(connection, schema)
        except ConfigError as error:
            return [(str(error), "")]
        missing = _missing_privileges(connection, schema)  # without them even looking for strangers fails
        return missing or _strangers(connection, schema, state_id)


def _missing_privileges(connection: Connection, schema: str) -> list[tuple[str, str]]:
    found = connection.execute(
        "SELECT current_user::text, current_database()::text, has_database_privilege(current_database(), 'CREATE'), "
        "(SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = %s)",
        (schema,),
    ).fetchone()
    assert found is not None
    user, database, may_create, may_use = found
    names = {name: sql.Identifier(value).as_string(connection) for name, value in (("user", user), ("database", database))}
    names["schema"] = sql.Identifier(schema).as_string(connection)
    if may_use is None and not may_create:
        return [(f"{user} may not create the schema {schema!r}", _NEEDS_CREATE.format(**names))]
    if may_use is False:
        return [(f"{user} may not create tables in the schema {schema!r}", _NEEDS_SCHEMA.format(**names))]
    return []


def _strangers(connection: Connection, schema: str, state_id: str) -> list[tuple[str, str]]:
    """Result tables that another state wrote."""
    table = sql.Identifier(schema, "_topline_writer").as_string(connection)
    readable = "SELECT to_regclass(%s) IS NOT NULL AND has_table_privilege(to_regclass(%s), 'SELECT')"
    if connection.execute(readable, (table, table)).fetchone() != (True,):
        return []
    with connection.cursor() as cursor:
        found = read_writer(cursor, schema, lock=False)
    if found is None or found.state_id == state_id:
        return []
    return [
        (
            f"the result tables in the schema {schema!r} were written by {describe_writer(found)}, not by this state",
            "`topline run --take-over` republishes all of them from this state; or set results.schema to one of its own",
        )
    ]
