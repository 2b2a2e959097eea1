"""A writer's schema to the program that `kernels.avro.decode` runs: what to read into which slot, and what to pass over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from topline.errors import FormatError
from topline.kafka import shapes
from topline.kafka.shapes import Ints

Path = tuple[str, ...]
"""Names of nested fields, outermost first. The branches of a union have no name."""
Schema = Any
"""A schema as JSON has it: a name, a union's list, or a mapping."""

_DEEPEST = 32  # records in each other; one that holds itself has no end
_WITHOUT_BYTES = frozenset({shapes.PRESENT})
_FLOATING = {"float": 4, "double": 8}


class Kind(Enum):
    """What a slot's numbers are."""

    TEXT = "string"
    BYTES = "bytes"
    LONG = "long"
    BOOLEAN = "boolean"
    FLOAT = "float"
    DOUBLE = "double"
    ENUM = "enum"
    PRESENT = "record"


_KINDS = {
    "string": Kind.TEXT, "bytes": Kind.BYTES, "fixed": Kind.BYTES, "int": Kind.LONG, "long": Kind.LONG,
    "boolean": Kind.BOOLEAN, "float": Kind.FLOAT, "double": Kind.DOUBLE, "enum": Kind.ENUM, "record": Kind.PRESENT,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """A value that is read. `meaning`: Avro's logical type or Connect's name of it (`io.debezium.time.ZonedTimestamp`), ''
    where there is none. `symbols`: of an enum."""

    number: int
    kind: Kind
    meaning: str = ""
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """`slots`: those of the wanted values that the schema has as one simple type. `fields`: all that it has."""

    lines: Ints
    branches: Ints
    slots: Mapping[Path, Slot]
    fields: frozenset[Path]


def compiled(schema: Schema, wanted: Sequence[Path]) -> Program:
    """FormatError where the schema is none, or nests without end."""
    maker = _Maker(wanted)
    try:
        maker.value(schema, (), "")
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"not an Avro schema: {error!r}") from None
    maker.line(shapes.END)
    return Program(np.array(maker.lines), np.array(maker.branches or [0]), maker.slots, frozenset(maker.fields))


@dataclass(slots=True)
class _Maker:
    wanted: Sequence[Path]
    lines: list[list[int]] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    slots: dict[Path, Slot] = field(default_factory=dict)
    named: dict[str, Schema] = field(default_factory=dict)
    fields: set[Path] = field(default_factory=set)
    deep: int = 0
    nested: int = 0  # arrays and maps around
    several: int = 0  # unions of several types around

    def line(self, operation: int, operand: int = 0, slot: int = -1) -> int:
        self.lines.append([operation, operand, slot])
        return len(self.lines) - 1

    def value(self, schema: Schema, path: Path, namespace: str) -> None:
        if isinstance(schema, list):
            self._union(schema, path, namespace)
            return
        kind = schema if isinstance(schema, str) else schema["type"]
        if not isinstance(kind, str):
            self.value(kind, path, namespace)
        elif kind in _KINDS or kind in {"null", "array", "map"}:
            self._own(kind, schema if isinstance(schema, dict) else {}, path, namespace)
        else:
            self._known(kind, path, namespace)

    def _own(self, kind: str, schema: Mapping[str, Any], path: Path, namespace: str) -> None:
        if kind in {"record", "enum", "fixed"}:
            namespace = self._name(schema, namespace)
        match kind:
            case "record":
                self._record(schema, path, namespace)
            case "array" | "map":
                self._loop(kind, schema, path, namespace)
            case "null":
                pass
            case "fixed":
                self.line(shapes.FIXED, int(schema["size"]), self._slot(kind, schema, path))
            case "boolean":
                self.line(shapes.BOOLEAN, 0, self._slot(kind, schema, path))
            case "float" | "double":
                self.line(shapes.FLOATING, _FLOATING[kind], self._slot(kind, schema, path))
            case "string" | "bytes":
                self.line(shapes.BYTES, 0, self._slot(kind, schema, path))
            case _:
                self.line(shapes.LONG, 0, self._slot(kind, schema, path))

    def _name(self, schema: Mapping[str, Any], namespace: str) -> str:
        """Note what a name stands for; returns the namespace of names in it."""
        full = str(schema["name"])
        if "." not in full:
            namespace = str(schema.get("namespace", namespace))
            full = f"{namespace}.{full}" if namespace else full
        self.named[full] = schema
        return full.rpartition(".")[0]

    def _known(self, name: str, path: Path, namespace: str) -> None:
        full = name if name in self.named else f"{namespace}.{name}"
        if full not in self.named:
            raise FormatError(f"an Avro schema names {name!r} and does not say what it is")
        self.value(self.named[full], path, full.rpartition(".")[0])

    def _slot(self, kind: str, schema: Mapping[str, Any], path: Path) -> int:
        """Its number; -1 where the value is not wanted, or is one of many."""
        if self.nested or self.several or path not in self.wanted:
            return -1
        meaning = str(schema.get("connect.name") or schema.get("logicalType") or "")
        self.slots[path] = Slot(len(self.slots), _KINDS[kind], meaning, tuple(schema.get("symbols", ())))
        return self.slots[path].number

    def _record(self, schema: Mapping[str, Any], path: Path, namespace: str) -> None:
        self.deep += 1
        if self.deep > _DEEPEST:
            raise FormatError(f"an Avro schema nests more than {_DEEPEST} records: {'.'.join(path)}")
        if (slot := self._slot("record", schema, path)) >= 0:
            self.line(shapes.PRESENT, 0, slot)
        for member in schema["fields"]:
            place = (*path, str(member["name"]))
            self.fields.add(place)
            self.value(member["type"], place, namespace)
        self.deep -= 1

    def _union(self, types: Sequence[Schema], path: Path, namespace: str) -> None:
        several = sum(type_ != "null" for type_ in types) > 1
        self.several += several
        first = len(self.branches)
        self.branches += [0] * len(types)
        self.line(shapes.UNION, first, len(types))
        ends: list[int] = []
        for number, type_ in enumerate(types):
            self.branches[first + number] = len(self.lines)
            self.value(type_, path, namespace)
            ends.append(self.line(shapes.JUMP))
        for end in ends:
            self.lines[end][1] = len(self.lines)
        self.several -= several

    def _loop(self, kind: str, schema: Mapping[str, Any], path: Path, namespace: str) -> None:
        self.nested += 1
        if self.nested > shapes.MOST_NESTED:
            raise FormatError(f"an Avro schema nests more than {shapes.MOST_NESTED} arrays: {'.'.join(path)}")
        begin = self.line(shapes.LOOP)
        if kind == "map":
            self.line(shapes.BYTES)
        self.value(schema["items" if kind == "array" else "values"], path, namespace)
        if all(line[0] in _WITHOUT_BYTES for line in self.lines[begin + 1 :]):
            raise FormatError(f"items of an Avro array are of a type that takes no byte: {'.'.join(path)}")
        self.line(shapes.NEXT, begin)
        self.lines[begin][1] = len(self.lines)
        self.nested -= 1
