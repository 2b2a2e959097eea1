"""Source kind `soap`: a SOAP service, by its WSDL, that is asked again and again."""

from collections.abc import Iterator

from topline.errors import ConfigError
from topline.sources.base import Context
from topline.sources.polled import PolledSource
from topline.sources.soap.feed import SoapFeed
from topline.sources.soap.service import Service
from topline.sources.soap.settings import SoapSettings as Settings
from topline.sources.web.tls import tls_context

__all__ = ["Settings", "create"]


def create(context: Context, settings: Settings) -> PolledSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = list(_faults(context, settings))
    if faults:
        raise ConfigError("\n".join(faults))
    tls_context(settings.tls, context.root)
    service = Service(settings, context.root)

    def feed(table: str) -> SoapFeed:
        return SoapFeed(context.tables[table], settings.tables[table], service, settings.tz)

    return PolledSource(context, settings, settings.tables, feed)


def _faults(context: Context, settings: Settings) -> Iterator[str]:
    for name in context.tables.keys() - settings.tables.keys():
        yield f"tables: {name} is declared, but not configured"
    for name, table in settings.tables.items():
        if name not in context.tables:
            yield f"tables.{name}: the models declare no such table"
            continue
        columns = context.tables[name].names
        known = {*columns, *(setting.field for setting in (table.cursor, table.deleted) if setting is not None)}
        for field in table.fields.keys() - known:
            yield f"tables.{name}.fields: {field} is no column; there are {', '.join(columns)}"
