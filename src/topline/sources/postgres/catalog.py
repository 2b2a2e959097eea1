"""What the source's catalog says of the server, the role, and each declared table. Reads only."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row

from topline.pgsilence import PatientConnection
from topline.sources.postgres.partitions import PARTED_BY, PARTITIONS, PartitionIndex
from topline.sources.postgres.shapes import Members, Shape, shape_of
from topline.sources.postgres.tables import Target

Connection = PatientConnection[dict[str, Any]]

_SERVER = """
SELECT current_setting('server_version_num')::int AS version, current_setting('wal_level') AS wal_level,
       pg_encoding_to_char(encoding) AS encoding, datname AS database, current_user AS role, pg_is_in_recovery() AS standby,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS replication,
       has_database_privilege(datname, 'CREATE') AS may_create,
       current_setting('max_replication_slots')::int AS slots, (SELECT count(*) FROM pg_replication_slots)::int AS slots_used
FROM pg_database WHERE datname = current_database()
"""
_TABLE = """
SELECT c.oid::int8 AS oid, c.relkind::text AS kind, c.relreplident::text AS identity, c.relpersistence::text AS persistence,
       has_schema_privilege(n.oid, 'USAGE') AS may_use,
       CASE WHEN has_schema_privilege(n.oid, 'USAGE') THEN has_table_privilege(c.oid, 'SELECT') ELSE false END AS may_read,
       pg_has_role(c.relowner, 'USAGE') AS owned, greatest(c.reltuples, 0)::int8 AS estimate
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""
_COLUMNS = """
WITH RECURSIVE base(start, oid) AS (
  SELECT oid, oid FROM pg_type
  WHERE oid IN (SELECT atttypid FROM pg_attribute WHERE attrelid = %(oid)s::int8::oid AND attnum > 0 AND NOT attisdropped)
  UNION ALL SELECT base.start, t.typbasetype FROM base JOIN pg_type t ON t.oid = base.oid WHERE t.typtype = 'd')
SELECT a.attname AS name, a.atttypid::int8 AS oid, base.oid::int8 AS base, a.attgenerated::text AS generated,
       format_type(a.atttypid, a.atttypmod) AS type, a.atttypmod AS modifier
FROM pg_attribute a JOIN base ON base.start = a.atttypid JOIN pg_type t ON t.oid = base.oid AND t.typtype <> 'd'
WHERE a.attrelid = %(oid)s::int8::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_INDEXES = """
SELECT c.relname AS name, i.indisprimary AS primary, i.indisreplident AS identity,
       (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::int8::oid AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indpred IS NULL AND i.indexprs IS NULL
"""
_MEMBERS = """
SELECT relid::oid::int8 || '/' || coalesce(pg_relation_filenode(relid), 0) AS member,
       coalesce(pg_relation_size(relid), 0) = 0 AS empty
FROM pg_partition_tree(%s::int8::oid) WHERE level > 0
"""
_PUBLICATION = """
SELECT p.oid::int8 AS oid, p.puballtables AS everything, pg_has_role(p.pubowner, 'USAGE') AS owned, p.pubviaroot AS via_root,
       p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS complete, p.xmin::text AS version
FROM pg_publication p WHERE p.pubname = %s
"""
_PUBLISHED = """
SELECT c.oid::int8 AS oid, n.nspname AS namespace, c.relname AS relation,
       r.prqual IS NOT NULL OR r.prattrs IS NOT NULL AS filtered,
       coalesce(r.oid::int8, 0) AS membership
FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
LEFT JOIN pg_publication_rel r ON r.prpubid = %s::int8::oid AND r.prrelid = c.oid WHERE t.pubname = %s
"""
_SLOT = """
SELECT plugin, database, active_pid, wal_status, confirmed_flush_lsn - '0/0'::pg_lsn AS confirmed, temporary
FROM pg_replication_slots WHERE slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """`oid` is the type's, `base` what it comes to beneath domains."""

    name: str
    oid: int
    base: int
    generated: str
    type: str
    modifier: int


@dataclass(frozen=True, slots=True)
class IndexFacts:
    name: str
    primary: bool
    identity: bool
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class TableFacts:
    oid: int
    kind: str
    identity: str
    persistence: str
    may_use: bool
    may_read: bool
    owned: bool
    estimate: int
    members: Members = field(default_factory=dict)
    columns: tuple[ColumnFacts, ...] = ()
    indexes: tuple[IndexFacts, ...] = ()
    parted_by: tuple[str, ...] = ()
    partition_indexes: tuple[PartitionIndex, ...] = ()

    def shape(self, target: Target) -> Shape:
        return shape_of_columns(target, self.columns)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    version: int
    wal_level: str
    encoding: str
    database: str
    role: str
    standby: bool
    replication: bool
    may_create: bool
    slots: int
    slots_used: int


@dataclass(frozen=True, slots=True)
class Published:
    oid: int
    namespace: str
    relation: str
    filtered: bool
    membership: int

    @property
    def listed(self) -> bool:
        """By its own name, rather than with its schema or all tables."""
        return self.membership > 0


@dataclass(frozen=True, slots=True)
class PublicationFacts:
    oid: int
    everything: bool
    owned: bool
    via_root: bool
    complete: bool
    version: str
    tables: tuple[Published, ...] = ()

    def terms(self) -> dict[int, str]:
        """Table's oid -> what is another whenever its publication was changed, and changed back: changes were missed then."""
        return {table.oid: f"{self.oid}.{self.version}.{table.membership}" for table in self.tables}


@dataclass(frozen=True, slots=True)
class SlotFacts:
    plugin: str | None
    database: str | None
    active_pid: int | None
    wal_status: str | None
    confirmed: int
    temporary: bool


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that open and check need, read at one time. A table that does not exist is None."""

    server: ServerFacts
    tables: dict[str, TableFacts | None]
    publication: PublicationFacts | None
    slot: SlotFacts | None
    bases: dict[int, int] = field(default_factory=dict)


def shape_of_columns(target: Target, columns: Iterable[ColumnFacts]) -> Shape:
    known = list(columns)
    bases = {column.oid: column.base for column in known}
    return shape_of(target, ((column.name, column.oid, column.modifier) for column in known), bases)


def connect(conninfo: str, silence: float) -> Connection:
    """`silence`: seconds after which a server that says nothing is asked, by another connection, whether it works for us."""
    connection: Connection = PatientConnection.connect(conninfo, autocommit=True, row_factory=dict_row)
    connection.silence = silence
    connection.identify()
    return connection


def read(connection: Connection, targets: Iterable[Target], publication: str, slot: str) -> Catalog:
    server = ServerFacts(**_one(connection, _SERVER) or {})
    tables = {target.name: _table(connection, target) for target in targets}
    bases = {column.oid: column.base for facts in tables.values() if facts for column in facts.columns}
    return Catalog(server, tables, read_publication(connection, publication), read_slot(connection, slot), bases)


def read_publication(connection: Connection, name: str) -> PublicationFacts | None:
    found = _one(connection, _PUBLICATION, [name])
    if found is None:
        return None
    rows = connection.execute(_PUBLISHED, [found["oid"], name]).fetchall()
    return PublicationFacts(**found, tables=tuple(Published(**row) for row in rows))


def read_slot(connection: Connection, name: str) -> SlotFacts | None:
    found = _one(connection, _SLOT, [name])
    return SlotFacts(**{**found, "confirmed": int(found["confirmed"] or 0)}) if found else None


def read_columns(connection: Connection, oid: int) -> tuple[ColumnFacts, ...]:
    return tuple(ColumnFacts(**row) for row in connection.execute(_COLUMNS, {"oid": oid}))


def read_members(connection: Connection, oid: int) -> Members:
    """The partitions of a table, at every level."""
    return {row["member"]: row["empty"] for row in connection.execute(_MEMBERS.encode(), [oid])}


def _table(connection: Connection, target: Target) -> TableFacts | None:
    found = _one(connection, _TABLE, [target.namespace, target.relation])
    if found is None:
        return None
    columns = read_columns(connection, found["oid"])
    indexes = connection.execute(_INDEXES, [found["oid"]]).fetchall()
    parted = found["kind"] == "p"
    partition_indexes = connection.execute(PARTITIONS.encode(), [found["oid"]]).fetchall() if parted else []
    parted_by = connection.execute(PARTED_BY.encode(), [found["oid"]]).fetchall() if parted else []
    return TableFacts(
        **found,
        parted_by=tuple(row["name"] for row in parted_by),
        partition_indexes=tuple(map(PartitionIndex.of, partition_indexes)),
        members=read_members(connection, found["oid"]),
        columns=columns,
        indexes=tuple(IndexFacts(**{**row, "columns": frozenset(row["columns"] or ())}) for row in indexes),
    )


def _one(connection: Connection, query: str, values: Any = None) -> dict[str, Any] | None:
    return connection.execute(query.encode(), values).fetchone()
