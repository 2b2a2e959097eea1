"""Whether a text is a PostgreSQL DSN. libpq's own complaints quote pieces of it, and with them pieces of a password."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from topline.errors import ConfigError

_FORMS = "write postgresql://USER@HOST:PORT/DATABASE, or pairs such as `host=HOST dbname=DATABASE user=USER`"


def parse_dsn(dsn: str) -> dict[str, str | int | None]:
    """The parameters of `dsn`. ConfigError, which shows nothing of it, where libpq cannot read it as it was meant."""
    try:
        found = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        raise ConfigError(f"not a PostgreSQL DSN (it is not shown, it may hold a password); {_FORMS}") from None
    if "@" in str(found.get("host") or ""):
        raise ConfigError(
            "a DSN's password contains an @: write it as %40, or refer to it: postgresql://USER:${env:NAME}@HOST/DATABASE"
        )
    return found
