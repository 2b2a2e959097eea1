"""Whether the results database can be published to: looked at before anything runs, and nothing is changed."""

from psycopg import sql

from topline.errors import ConfigError, ToplineError
from topline.results.connection import Connection, connect, require_server, translated

_NEEDS_CREATE = "GRANT CREATE ON DATABASE {database} TO {user}"
_NEEDS_SCHEMA = "ALTER SCHEMA {schema} OWNER TO {user}"


def check_results(dsn: str, schema: str) -> list[tuple[str, str]]:
    """(problem, remedy) of everything that publishing to `schema` would meet; empty when all is well."""
    try:
        connection = connect(dsn, "check")
    except ToplineError as error:
        return [(str(error), "start the database, or correct results.dsn")]
    with connection, translated():
        try:
            require_server(connection, schema)
        except ConfigError as error:
            return [(str(error), "")]
        return _missing_privileges(connection, schema)


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
