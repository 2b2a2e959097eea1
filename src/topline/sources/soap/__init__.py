"""Source kind `soap`: a SOAP service, by its WSDL, that is asked again and again."""

from topline.errors import ConfigError
from topline.sources.base import Context
from topline.sources.polled import PolledSource
from topline.sources.soap.feed import SoapFeed
from topline.sources.soap.http import tls_context
from topline.sources.soap.service import Service
from topline.sources.soap.settings import SoapSettings as Settings

__all__ = ["Settings", "create"]


def create(context: Context, settings: Settings) -> PolledSource:
    """The source, from its declared tables. ConfigError lists every fault of their declarations."""
    faults = [f"tables: {name} is declared, but not configured" for name in context.tables if name not in settings.tables]
    faults += [f"tables.{name}: the models declare no such table" for name in settings.tables if name not in context.tables]
    if faults:
        raise ConfigError("\n".join(faults))
    tls_context(settings.tls, context.root)
    service = Service(settings, context.root)

    def feed(table: str) -> SoapFeed:
        return SoapFeed(context.tables[table], settings.tables[table], service, settings.tz)

    return PolledSource(context, settings, settings.tables, feed)
