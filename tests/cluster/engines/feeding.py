"""A random history brought to topics, and what the tables hold at its end: whoever reads the topics must come to the same."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.cluster.events import Events
from tests.exact.history import History, Truth
from tests.exact.tables import Row, TableSpec
from topline.changes import DELETE, Part, TableChanges
from topline.kafka.events import UNAVAILABLE
from topline.schema import Type

PARTITIONS = 2


@dataclass
class Feed:
    """`tables` travel through topics `PREFIX.source.table`, which are made here. `truth`: what they hold by now. `toast`: texts
    that a change leaves as they are, are left out."""

    events: Events
    prefix: str
    tables: Mapping[str, TableSpec]
    toast: bool = False
    held: dict[str, dict[Row, Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.truth = Truth(self.tables)
        self.held = {name: {} for name in self.tables}
        for name in self.tables:
            self.events.create(self.topic(name), PARTITIONS)

    def topic(self, table: str) -> str:
        return f"{self.prefix}.{table}"

    def play(self, history: History) -> None:
        """What came again comes again; a sweep is the deletion of what it takes."""
        for batch in history:
            for one in self.truth.batches(batch):
                for part in one.parts:
                    self._write(part)
            self._settle()
        self.events.flush()

    def _write(self, part: Part) -> None:
        if not isinstance(part, TableChanges):
            return
        spec, held = self.tables[part.table], self.held[part.table]
        kept = [0] * len(part) if part.unchanged is None else part.unchanged.tolist()
        for row, op, bits in zip(part.rows.to_pylist(), part.ops.tolist(), kept, strict=True):
            key = spec.key(tuple(row.values()))
            if op == DELETE:
                self.events.delete(self.topic(part.table), spec.schema, [row])
                held.pop(key, None)
            else:
                self._upsert(part.table, key, row, bits if key in held else 0)

    def _upsert(self, table: str, key: Row, row: dict[str, object], bits: int) -> None:
        """Columns left out as Debezium leaves them out: texts only, the others as they are."""
        spec, held = self.tables[table], self.held[table]
        before = dict(zip(spec.schema.names, held.get(key, ()), strict=False))
        written = dict(row)
        for number, column in enumerate(spec.schema.columns):
            if bits >> number & 1:
                row[column.name] = before[column.name]
                left_out = self.toast and column.type is Type.TEXT
                written[column.name] = UNAVAILABLE if left_out else before[column.name]
        held[key] = tuple(row.values())
        self.events.put(self.topic(table), spec.schema, [written])

    def _settle(self) -> None:
        """What else the batch did: rows swept, or written under a value that a sweep had taken before."""
        for name, rows in self.truth.rows().items():
            spec, held = self.tables[name], self.held[name]
            now = {spec.key(row): row for row in rows}
            gone = [dict(zip(spec.schema.names, held.pop(key), strict=True)) for key in [k for k in held if k not in now]]
            self.events.delete(self.topic(name), spec.schema, gone, tombstone=len(gone) % 2 == 0)
            for key, row in now.items():
                if held.get(key) != row:
                    self._upsert(name, key, dict(zip(spec.schema.names, row, strict=True)), 0)
