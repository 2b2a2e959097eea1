"""PostgreSQL by Debezium.

Source: Debezium 3.7, "PostgreSQL connector: connector properties".
"""

from collections.abc import Iterator

from topline.dsn import parse_dsn
from topline.ingest.debezium.captured import Captured, Origin, pattern
from topline.sources.postgres import Settings
from topline.sources.postgres.tables import targets

__all__ = ["VALUES", "Settings", "captured"]

VALUES = {"interval.handling.mode": "string", "hstore.handling.mode": "json"}
"""How values are written that other databases do not have."""
_RESELECT = {
    "post.processors": "reselect",
    "post.processors.reselect.type": "io.debezium.processors.reselect.ReselectColumnsPostProcessor",
    "post.processors.reselect.reselect.unavailable.values": "true",
    "post.processors.reselect.reselect.null.values": "false",
    "post.processors.reselect.reselect.use.event.key": "true",
}
"""A large value that an update left as it was (TOAST) is not in the server's log: it is read from the row, so that a topic of
which compaction left a key's last record has the whole row. Where the row is gone meanwhile, its deletion follows."""


def captured(origin: Origin, settings: Settings) -> Captured:
    """ConfigError for tables that cannot be told apart."""
    tables = targets(origin.source, origin.tables, settings)
    config = dict(_config(origin.source, settings))
    leaves = (
        "The slot holds back the server's log: drop it where the connector does not come back: "
        f"SELECT pg_drop_replication_slot('{config['slot.name']}'); DROP PUBLICATION {config['publication.name']}"
    )
    return Captured(
        config,
        {name: (one.namespace, one.relation) for name, one in tables.items()},
        {name: pattern(one.namespace, one.relation) for name, one in tables.items()},
        {name: one.schema.key for name, one in tables.items()},
        leaves,
    )


def _config(source: str, settings: Settings) -> Iterator[tuple[str, str]]:
    yield "connector.class", "io.debezium.connector.postgresql.PostgresConnector"
    yield from _database(settings).items()
    yield "plugin.name", "pgoutput"
    yield "slot.name", settings.slot or f"topline_{source}_debezium"
    yield "publication.name", settings.publication or f"topline_{source}_debezium"
    yield "publication.autocreate.mode", "filtered"
    yield "heartbeat.interval.ms", str(int(settings.heartbeat * 1000))
    yield from VALUES.items()
    yield from _RESELECT.items()


def _database(settings: Settings) -> dict[str, str]:
    found = parse_dsn(settings.dsn)
    named = {"hostname": "host", "port": "port", "user": "user", "password": "password", "dbname": "dbname"}
    values = {f"database.{ours}": str(found[theirs]) for ours, theirs in named.items() if found.get(theirs) is not None}
    if (mode := found.get("sslmode")) is not None:
        values["database.sslmode"] = str(mode)
    return {"database.port": "5432", **values}
