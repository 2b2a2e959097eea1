"""The types under which a table was copied. Another type (ALTER COLUMN .. TYPE) means that the server rewrote the values of all
rows, and of a rewrite its logical log says nothing: such a table is copied again."""

from collections.abc import Iterable, Mapping

from topline.errors import TransientError
from topline.sources.postgres.tables import Target
from topline.sources.postgres.types import bears

Shape = Mapping[str, str]
_VARCHAR, _TEXT, _NUMERIC = 1043, 25, 1700


def shape_of(target: Target, columns: Iterable[tuple[str, int, int]], bases: Mapping[int, int]) -> Shape:
    """Of `columns` (name, type's oid, type's modifier) those that are declared and fit: what their values' text depends on."""
    declared = {column.name: column.type for column in target.schema.columns}
    return {
        name: _form(oid, modifier)
        for name, oid, modifier in columns
        if name in declared and bears(declared[name], bases.get(oid, oid))
    }


def rewritten(copied: Shape, now: Shape) -> list[str]:
    """The columns that both know, with another type now. What was copied before shapes were kept knows none."""
    return sorted(name for name in copied.keys() & now.keys() if copied[name] != now[name])


def require_not_rewritten(target: Target, copied: Shape, now: Shape) -> None:
    """TransientError: the next opening finds it so too, and copies the table."""
    if columns := rewritten(copied, now):
        raise TransientError(f"{target.quoted}: the type of {', '.join(columns)} was changed; the table is copied again")


def _form(oid: int, modifier: int) -> str:
    """A text's greatest length, and how many digits a numeric has before its point, change no value."""
    if oid in (_VARCHAR, _TEXT):
        return str(_TEXT)
    if oid == _NUMERIC and modifier >= 0:
        return f"{oid}({(modifier - 4) & 0x7FF})"  # the scale, as numerictypmodin packs it
    return f"{oid}({modifier})"
