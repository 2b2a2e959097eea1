"""What `topline check` asks of a REST table: one page, read with today's settings. Each fault has its remedy."""

from collections.abc import Iterator, Sequence

from topline.errors import SourceHalted, TransientError
from topline.sources.base import Fault
from topline.sources.polled import CursorExpired, Record
from topline.sources.rest.client import Refused
from topline.sources.rest.requests import Conditions, Table
from topline.sources.rest.walk import Walk

_REMEDIES = {
    401: "set auth or basic, with credentials that the origin knows",
    403: "have the origin's administrator allow this to what auth or basic names",
    404: "correct url or path",
    405: "correct method",
}


def check(where: str, table: Table) -> list[Fault]:
    """Whether the origin answers, lets us in, and gives records with the key where `rows` says."""
    try:
        records = _first_page(table)
    except Refused as error:
        return [Fault(where, str(error), _REMEDIES.get(error.status, "correct path, params or body"))]
    except SourceHalted as error:
        return [Fault(where, str(error), "correct what it names, in topline.yml or at the origin")]
    except (TransientError, CursorExpired) as error:
        return [Fault(where, str(error), "see that the origin runs and can be reached from here; then check again")]
    return list(_faults(where, table, records))


def _first_page(table: Table) -> Sequence[Record]:
    for page in Walk(table, None, Conditions()).pages():
        return page.records
    return ()


def _faults(where: str, table: Table, records: Sequence[Record]) -> Iterator[Fault]:
    broken = [record for record in records if record.fault]
    if broken and len(broken) == len(records):
        yield Fault(
            f"{where}.rows", f"none of {len(broken)} records can be read: {broken[0].fault}", "see rows, fields and format"
        )
        return
    good = [record for record in records if not record.fault]
    for name in table.schema.key:
        if good and all(record.values.get(name) is None for record in good):
            yield Fault(f"{where}.fields", f"no record has the key {name!r}", _written(table, name))
    yield from _cursor_faults(where, table, good)


def _cursor_faults(where: str, table: Table, records: Sequence[Record]) -> Iterator[Fault]:
    cursor, since = table.settings.cursor, table.settings.since
    if cursor is None or since is None or since.place != "row" or not records:
        return
    if all(record.values.get(cursor.field) is None for record in records):
        yield Fault(
            f"{where}.cursor.field",
            f"no record has {cursor.field!r}, so that every poll would list everything",
            "name a field that grows with every change, or leave out cursor and since",
        )


def _written(table: Table, name: str) -> str:
    if name in table.settings.fields:
        return f"correct the JMESPath {table.settings.fields[name]!r}"
    return f"write where it stands: fields: {{{name}: PATH}}"
