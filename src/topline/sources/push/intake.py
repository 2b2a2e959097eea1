"""One table that rows may be sent into: bodies are read and validated here, whole or not at all, and put into the inbox."""

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from topline.changes import DELETE, UPSERT
from topline.schema import TableSchema, Type
from topline.sources.push import bodies
from topline.sources.push.bodies import BrokenBody, Content, Record, Records
from topline.sources.push.inbox import Delivery, Inbox, Letter, Limits, Once, Receipt, Standing
from topline.sources.push.refusals import InvalidRows
from topline.sources.push.settings import PushSettings, PushTable
from topline.sources.push.stored import Rows, encode
from topline.sources.values import cast, table_of

DELETED = "_deleted"  # a field that every table knows: true takes the row with this key out


@dataclass(frozen=True, slots=True)
class Sorted:
    """A body's rows, ready to be stored, and its records that are none (or the whole body, where it is broken)."""

    rows: Rows
    invalid: tuple[Letter, ...]

    @property
    def records(self) -> int:
        return len(self.rows) + len(self.invalid)


class Intake:
    """`name`: the table's full name. Used from any thread."""

    def __init__(self, source: str, schema: TableSchema, settings: PushSettings, inbox: Inbox) -> None:
        self.source, self.name, self.schema = source, schema.name, schema
        self.settings = settings
        self.table = settings.tables.get(schema.name.partition(".")[2], PushTable())
        self._inbox, self._zone = inbox, ZoneInfo(settings.time_zone)
        self._known = frozenset(schema.names) | {DELETED}
        self._limits = Limits(settings.max_waiting_rows, settings.max_waiting_bytes, settings.idempotency_hours * 3600)

    def accept(self, body: bytes, content: Content, once: Once | None = None) -> Receipt:
        """Put a request into the inbox; on the disk when this returns.

        A Refusal (InvalidRows, InboxFull, KeyReused) or TransientError: nothing of it was kept.
        """
        sorted_out = self.sort_out(body, content)
        if sorted_out.invalid and self.table.on_invalid == "refuse":
            return self._before(once, InvalidRows([_named(letter) for letter in sorted_out.invalid]))
        data = encode(sorted_out.rows)
        delivery = Delivery(self.source, self.name, sorted_out.records, data, sorted_out.invalid, self._limits, once)
        return self._inbox.accept(delivery)

    def _before(self, once: Once | None, refusal: InvalidRows) -> Receipt:
        """What the same request was answered before the models or the settings changed; else `refusal` is raised."""
        before = self._inbox.answered(self.name, once, self._limits.remember) if once else None
        if before is None:
            raise refusal
        return before

    def standing(self) -> Standing:
        """What of this table's source waits, and what is in the log."""
        return self._inbox.standing(self.source)

    def close(self) -> None:
        """Let go of the inbox; the next request opens it again."""
        self._inbox.close()

    def sort_out(self, body: bytes, content: Content) -> Sorted:
        """The body's rows in the table's types, and its records that are none, with the reason."""
        try:
            records = bodies.read(body, content)
        except BrokenBody as error:
            nothing, _ = self._cast(Records([], lambda _: b""))
            return Sorted(nothing, (Letter(0, body, str(error), f"a body ({content.type}, {content.charset})"),))
        rows, faults = self._cast(records)
        invalid = (
            Letter(place, records.raw(records.records[place]), faults[place], _locator(place, content)) for place in faults
        )
        return Sorted(rows, tuple(invalid))

    def _cast(self, records: Records) -> tuple[Rows, dict[int, str]]:
        """The rows, and the faults of what is none, by place and in its order."""
        faults: dict[int, str] = {}
        values: list[Mapping[str, object]] = []
        ops = np.full(len(records.records), UPSERT, dtype=np.int8)
        for place, record in enumerate(records.records):
            row, fault, ops[place] = self._row(record)
            if fault:
                faults[place] = fault
            values.append(row)
        table, places, refused = table_of(self.schema, values, self._zone)
        return Rows(table, ops[places], places), dict(sorted((dict(refused) | faults).items()))

    def _row(self, record: Record) -> tuple[Mapping[str, object], str, int]:
        """Its values, what is wrong with it ('' for nothing), and whether it is an upsert or a delete."""
        row = record.values
        if record.fault or (self.table.on_unknown == "refuse" and not row.keys() <= self._known):
            return {}, record.fault or self._unknown(row), UPSERT
        if DELETED not in row:
            return row, "", UPSERT
        try:
            gone = cast(row[DELETED], Type.BOOLEAN, self._zone)
        except ValueError as error:
            return {}, f"{DELETED}: {error}", UPSERT
        return ({name: row.get(name) for name in self.schema.key}, "", DELETE) if gone else (row, "", UPSERT)

    def _unknown(self, row: Mapping[str, object]) -> str:
        strange = min(row.keys() - self._known)
        return f"{strange}: no such field; allowed: {', '.join(self.schema.names)}, {DELETED}"


def _named(letter: Letter) -> str:
    """For the sender: which record (counted from 1, without a CSV header), and what is wrong with it."""
    return letter.reason if letter.locator.startswith("a body") else f"record {letter.place + 1}: {letter.reason}"


def _locator(place: int, content: Content) -> str:
    """`reread` takes the kind of body from it. CSV of another charset is kept in UTF-8."""
    return f"record {place + 1} of a body ({content.type}, utf-8)"
