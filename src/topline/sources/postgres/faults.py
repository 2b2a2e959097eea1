"""What stands in the way of capture, each with the exact remedy."""

from collections.abc import Iterator

from topline.schema import Type
from topline.sources.base import Fault
from topline.sources.postgres import partitions
from topline.sources.postgres.catalog import Catalog, ColumnFacts, ServerFacts, TableFacts
from topline.sources.postgres.tables import Target, quote
from topline.sources.postgres.types import bears, class_of

MIN_VERSION = 150000
MAX_COLUMNS = 63  # one bit a column in `unchanged`


def server_faults(where: str, server: ServerFacts) -> Iterator[Fault]:
    if server.version < MIN_VERSION:
        yield Fault(where, f"PostgreSQL {server.version // 10000} is too old", "use PostgreSQL 15 or newer")
    if server.standby:
        yield Fault(where, "this server is a standby", "name the primary in `dsn`")
    if server.wal_level != "logical":
        yield Fault(where, f"wal_level is {server.wal_level}", "ALTER SYSTEM SET wal_level = logical; then restart PostgreSQL")
    if server.encoding == "SQL_ASCII":
        yield Fault(where, "the database has the encoding SQL_ASCII, so its bytes have no known meaning", "use a UTF8 database")
    if not server.replication:
        remedy = f"ALTER ROLE {quote(server.role)} REPLICATION;  (Amazon RDS: GRANT rds_replication TO {quote(server.role)};)"
        yield Fault(where, f"the role {server.role} may not replicate", remedy)


def slot_faults(where: str, catalog: Catalog) -> Iterator[Fault]:
    server = catalog.server
    if catalog.slot is None and server.slots_used >= server.slots:
        remedy = f"ALTER SYSTEM SET max_replication_slots = {server.slots + 5}; then restart, or drop a slot that nobody uses"
        yield Fault(where, f"all {server.slots} replication slots are taken", remedy)


def table_faults(target: Target, facts: TableFacts | None, role: str, version: int) -> Iterator[Fault]:
    where = f"{target.schema.name} ({target.quoted})"
    if facts is None:
        yield Fault(where, "the table does not exist", "correct `tables` in topline.yml, or create it")
        return
    if facts.kind not in "rp" or facts.persistence != "p":
        yield Fault(
            where, "not an ordinary, logged table: its changes are not in the write-ahead log", "name the table behind it"
        )
        return
    if not facts.may_use:
        yield Fault(
            where, f"{role} may not use the schema", f"GRANT USAGE ON SCHEMA {quote(target.namespace)} TO {quote(role)};"
        )
    if not facts.may_read:
        yield Fault(where, f"{role} may not read it", f"GRANT SELECT ON {target.quoted} TO {quote(role)};")
    yield from _key_faults(where, target, facts)
    yield from _column_faults(where, target, facts, version)


def _key_faults(where: str, target: Target, facts: TableFacts) -> Iterator[Fault]:
    key = frozenset(target.schema.key)
    alter = f"ALTER TABLE {target.quoted}"
    primary = next((index for index in facts.indexes if index.primary), None)
    if not key:
        yield Fault(where, "no key is declared", "declare it: `meta: {key: [...]}` of the table in the models' sources YAML")
        return
    fitting = [index for index in facts.indexes if index.columns == key]
    if facts.kind == "p":
        yield from partitions.key_faults(where, target, facts.parted_by, facts.partition_indexes, unique=bool(fitting))
        return
    if facts.identity == "f" and fitting:
        return
    chosen = primary if facts.identity == "d" else next((i for i in facts.indexes if i.identity), None)
    if facts.identity in "di" and chosen is not None and chosen.columns == key:
        return
    names = ", ".join(quote(name) for name in target.schema.key)
    if primary is None and not fitting:
        yield Fault(where, f"it has no key: no unique index on ({names})", f"{alter} ADD PRIMARY KEY ({names});")
    elif not fitting:
        found = ", ".join(sorted(primary.columns)) if primary else ""
        yield Fault(
            where, f"its key is ({found}), declared is ({names})", f"declare the key [{found}], or {alter} REPLICA IDENTITY ..."
        )
    elif fitting[0].primary:
        yield Fault(where, "its replica identity is not its primary key", f"{alter} REPLICA IDENTITY DEFAULT;")
    else:
        remedy = f"{alter} REPLICA IDENTITY USING INDEX {quote(fitting[0].name)};  (its columns must be NOT NULL)"
        yield Fault(where, f"the declared key ({names}) is not its replica identity", remedy)


def _column_faults(where: str, target: Target, facts: TableFacts, version: int) -> Iterator[Fault]:
    known = {column.name: column for column in facts.columns}
    if len(target.schema.columns) > MAX_COLUMNS:
        yield Fault(where, f"{len(target.schema.columns)} columns are declared", f"declare at most {MAX_COLUMNS}")
    for column in target.schema.columns:
        found = known.get(column.name)
        if found is None:
            yield Fault(where, f"it has no column {column.name}", f"its columns are: {', '.join(known)}")
        elif problem := _type_problem(column.type, found):
            yield Fault(where, f"column {column.name} {problem}", f"declare it as {class_of(found.base)}")
        elif found.generated == "v" or (found.generated == "s" and version < 180000):
            remedy = "do not declare it (PostgreSQL replicates stored generated columns from version 18 on, virtual ones never)"
            yield Fault(where, f"column {column.name} is generated and not replicated", remedy)


def _type_problem(declared: Type, found: ColumnFacts) -> str:
    if bears(declared, found.base):
        return ""
    return f"is of type {found.type}, which {declared} does not hold exactly"
