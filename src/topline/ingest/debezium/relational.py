"""MySQL, MariaDB and SQL Server by Debezium: sources of kind `sql`, read from the server's log.

Source: Debezium 3.6, "connector properties" of the connectors for MySQL, MariaDB and SQL Server.
"""

from collections.abc import Mapping
from zlib import crc32

from topline.ingest.debezium.captured import Captured, Origin, pattern
from topline.kafka.java import java_settings
from topline.kafka.names import topic_of
from topline.sources.sql import Settings
from topline.sources.sql.places import Address, address_of, places_of

__all__ = ["Settings", "captured"]

_PORTS = {"mysql": 3306, "mariadb": 3306, "mssql": 1433}
_CLASSES = {
    "mysql": "io.debezium.connector.mysql.MySqlConnector",
    "mariadb": "io.debezium.connector.mariadb.MariaDbConnector",
    "mssql": "io.debezium.connector.sqlserver.SqlServerConnector",
}
_MOST = 2**32 - 2
"""The greatest number of a server that replicates from MySQL, less one."""


def captured(origin: Origin, settings: Settings) -> Captured:
    """ConfigError for a database that Debezium does not capture, and for columns under other names."""
    address = address_of(settings)
    places = places_of(settings, origin.tables)
    named = {name: place[1:] if address.dialect == "mssql" else place for name, place in places.items()}
    return Captured(
        {
            "connector.class": _CLASSES[address.dialect],
            **_login(address),
            **(_sqlserver(address) if address.dialect == "mssql" else _mysql(origin, address, places)),
            **_history(origin),
        },
        places,
        {name: pattern(*place) for name, place in named.items()},
        {name: origin.tables[name].key for name in places},
        f"Delete the topic {_history_topic(origin)}, where it kept its tables' shapes, if the connector does not come back",
    )


def _login(address: Address) -> dict[str, str]:
    port = str(address.port or _PORTS[address.dialect])
    values = {"hostname": address.host, "port": port, "user": address.user, "password": address.password}
    return {f"database.{name}": value for name, value in values.items()}


def _mysql(origin: Origin, address: Address, places: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    databases = sorted({address.database, *(place[0] for place in places.values())})
    return {
        "database.server.id": _number(origin),
        "database.include.list": ",".join(pattern(name) for name in databases),
    }


def _number(origin: Origin) -> str:
    """Of all that replicate from a server, each needs one of its own: the cluster, the prefix and the source make it."""
    return str(1 + crc32(f"{origin.cluster.addresses}/{topic_of(origin.cluster.prefix, origin.source)}".encode()) % _MOST)


def _sqlserver(address: Address) -> dict[str, str]:
    return {"database.names": address.database}


def _history(origin: Origin) -> dict[str, str]:
    """The tables' shapes over time lie in a topic, which Debezium writes and reads by clients of its own."""
    begin = "schema.history.internal"
    login = java_settings(origin.cluster, origin.root)
    return {
        f"{begin}.kafka.bootstrap.servers": origin.cluster.addresses,
        f"{begin}.kafka.topic": _history_topic(origin),
        "include.schema.changes": "false",
        **{f"{begin}.{side}.{name}": value for side in ("producer", "consumer") for name, value in login.items()},
    }


def _history_topic(origin: Origin) -> str:
    return topic_of(origin.cluster.prefix, origin.source, "history")
