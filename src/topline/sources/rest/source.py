"""A REST source is a pulled source whose feeds ask over HTTP."""

from collections.abc import Callable

from topline.errors import ConfigError
from topline.sources.base import Context
from topline.sources.declared import lacking_tables, strange_tables
from topline.sources.polled import PolledSource
from topline.sources.rest.client import Client, Shared
from topline.sources.rest.feed import RestFeed
from topline.sources.rest.requests import Table
from topline.sources.rest.settings import RestSettings
from topline.sources.web.addresses import Url
from topline.sources.web.tls import tls_context
from topline.sources.web.wire import Wire


def create(context: Context, settings: RestSettings) -> PolledSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = _faults(context, settings)
    if faults:
        raise ConfigError("\n".join(faults))
    return PolledSource(context, settings, settings.tables, feeds(context, settings))


def feeds(context: Context, settings: RestSettings) -> Callable[[str], RestFeed]:
    """What makes a table's feed, by its short name. All feeds share who we are and how fast we may ask, but no connection."""
    tls, shared, base = tls_context(settings.tls, context.root), Shared.of(settings), Url.parse(settings.url)

    def feed(name: str) -> RestFeed:
        client = Client(base, Wire(settings, tls), Wire(settings, tls), shared)
        table = Table(client, settings.tables[name], context.tables[name], settings.tz)
        return RestFeed(f"sources.{context.name}.tables.{name}", table)

    return feed


def _faults(context: Context, settings: RestSettings) -> list[str]:
    """Tables configured but not declared and the reverse; tables without a key; fields of columns that are not there."""
    faults = [
        *strange_tables(context.tables, settings.tables),
        *lacking_tables(context.tables, settings.tables, "has no path", "{path: ...}"),
    ]
    for name, schema in context.tables.items():
        if name not in settings.tables:
            continue
        if not schema.key:
            faults.append(f"tables.{name}: no key is declared; name the columns that tell its rows apart")
        strange = sorted(settings.tables[name].fields.keys() - set(schema.names) - _named(settings, name))
        declared = f"no such column is declared; declared are {', '.join(schema.names)}"
        faults += [f"tables.{name}.fields.{field}: {declared}" for field in strange]
    return faults


def _named(settings: RestSettings, name: str) -> set[str]:
    """Fields that are no columns, but are read."""
    table = settings.tables[name]
    return {one.field for one in (table.deleted, table.cursor) if one is not None}
