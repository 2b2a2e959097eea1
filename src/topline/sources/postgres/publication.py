"""The publication: made, and kept to the declared tables, where the role may; else the exact statement to run is said."""

from collections.abc import Iterable, Iterator

import psycopg

from topline.errors import SourceHalted
from topline.sources.base import Fault
from topline.sources.postgres.catalog import Catalog, Connection, PublicationFacts
from topline.sources.postgres.connection import message
from topline.sources.postgres.tables import Target, quote


def missing(facts: PublicationFacts | None, targets: Iterable[Target]) -> list[Target]:
    """Declared tables that the publication does not hold."""
    held = {(table.namespace, table.relation) for table in facts.tables} if facts else set()
    return [target for target in targets if (target.namespace, target.relation) not in held]


def statements(name: str, catalog: Catalog, targets: list[Target], prune: bool) -> list[str]:
    """What brings the publication to the declared tables; nothing when it is there already."""
    facts = catalog.publication
    if facts is None:
        return [_create(name, catalog.server.version, targets)]
    if facts.everything:
        return []
    added = missing(facts, targets)
    wanted = {(target.namespace, target.relation) for target in targets}
    strangers = [t for t in facts.tables if prune and t.listed and (t.namespace, t.relation) not in wanted]
    add = [f"ALTER PUBLICATION {quote(name)} ADD TABLE {_names(added)}"] if added else []
    dropped = ", ".join(f"{quote(table.namespace)}.{quote(table.relation)}" for table in strangers)
    return add + ([f"ALTER PUBLICATION {quote(name)} DROP TABLE {dropped}"] if strangers else [])


def faults(where: str, name: str, catalog: Catalog, targets: list[Target], prune: bool) -> Iterator[Fault]:
    """What `ensure` would meet: a statement that this role may not run, and a publication that does not publish all."""
    facts, server = catalog.publication, catalog.server
    tables = [catalog.tables[target.name] for target in targets]
    owned = all(table.owned for table in tables if table)
    allowed = owned and (server.may_create if facts is None else facts.owned)
    for statement in [] if allowed else statements(name, catalog, targets, prune):
        problem = f"the publication {name} must be {'made' if facts is None else 'changed'}, and {server.role} may not"
        yield Fault(where, problem, f"as the owner of the tables: {statement};")
    if facts is not None:
        yield from _shape_faults(where, name, facts)


def _shape_faults(where: str, name: str, facts: PublicationFacts) -> Iterator[Fault]:
    if not facts.complete:
        remedy = f"ALTER PUBLICATION {quote(name)} SET (publish = 'insert, update, delete, truncate');"
        yield Fault(where, f"the publication {name} leaves some operations out", remedy)
    for table in facts.tables:
        if table.filtered:
            problem = f"the publication {name} filters rows or columns of {table.namespace}.{table.relation}"
            yield Fault(where, problem, f"ALTER PUBLICATION {quote(name)} SET TABLE ...; without WHERE and column list")


def ensure(connection: Connection, name: str, catalog: Catalog, targets: list[Target], prune: bool) -> list[Target]:
    """Run what is needed; returns the declared tables that were not in the publication before. SourceHalted: not allowed."""
    added = missing(catalog.publication, targets)
    for statement in statements(name, catalog, targets, prune):
        try:
            connection.execute(statement.encode())
        except psycopg.errors.InsufficientPrivilege as error:
            raise SourceHalted(f"{message(error)}: as the owner of the tables run: {statement};") from None
    return added


def _create(name: str, version: int, targets: list[Target]) -> str:
    generated = ", publish_generated_columns = stored" if version >= 180000 else ""
    options = f"publish = 'insert, update, delete, truncate', publish_via_partition_root = true{generated}"
    return f"CREATE PUBLICATION {quote(name)} FOR TABLE {_names(targets)} WITH ({options})"


def _names(targets: list[Target]) -> str:
    return ", ".join(target.quoted for target in targets)
