"""A relational database as a pulled source."""

from topline.errors import ConfigError
from topline.sources.base import Context
from topline.sources.declared import lacking_tables, strange_tables
from topline.sources.polled import Feed, PolledSource
from topline.sources.sql.settings import SqlSettings


def create(context: Context, settings: SqlSettings) -> PolledSource:
    """The source, from its declared tables. ConfigError lists every fault."""
    try:
        import sqlalchemy  # noqa: F401 - comes with an extra
    except ModuleNotFoundError:
        raise ConfigError("kind: `sql` needs SQLAlchemy: pip install 'topline[sql]', and the database's driver") from None
    from topline.sources.sql.database import Database
    from topline.sources.sql.feed import SqlFeed

    faults = [*_unmatched(context, settings), *_keyless(context)]
    if faults:
        raise ConfigError("\n".join(faults))
    Database(settings, context.root).close()  # a URL or driver that does not serve is a fault of the configuration

    def feed(table: str) -> Feed:
        where = f"sources.{context.name}.tables.{table}"
        return SqlFeed(where, context.tables[table], settings, Database(settings, context.root))

    return PolledSource(context, settings, settings.tables, feed)


def _unmatched(context: Context, settings: SqlSettings) -> list[str]:
    """Tables configured but not declared, and the reverse; columns named that are not declared."""
    faults = [
        *strange_tables(context.tables, settings.tables),
        *lacking_tables(context.tables, settings.tables, "not here", "{}"),
    ]
    for name, schema in context.tables.items():
        if name not in settings.tables:
            continue
        strange = settings.tables[name].columns.keys() - set(schema.names)
        faults += [f"tables.{name}.columns.{column}: not declared in the models' sources" for column in sorted(strange)]
    return faults


def _keyless(context: Context) -> list[str]:
    return [f"tables.{name}: no key is declared; name its columns" for name, schema in context.tables.items() if not schema.key]
