"""What a table was when it was copied: its columns' types and its partitions. Of some changes of these the server's logical log
says nothing, though they change rows: such a table is copied again.

Another type (ALTER COLUMN .. TYPE) rewrites the values of all rows. A partition that is attached brings rows, one that is
detached or dropped takes them, and TRUNCATE of a partition is not published through its root.
"""

from collections.abc import Collection, Iterable, Mapping

from topline.errors import TransientError
from topline.sources.postgres.tables import Target
from topline.sources.postgres.types import bears

Shape = Mapping[str, str]
Members = Mapping[str, bool]  # a partition, told by oid and file -> whether it is empty
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


def regrouped(copied: Collection[str], now: Members) -> bool:
    """Whether a partition is gone, was emptied (it has another file then), or is new and has rows: it may have brought them."""
    return not now.keys() >= set(copied) or any(not empty for member, empty in now.items() if member not in copied)


def require_not_rewritten(target: Target, copied: Shape, now: Shape) -> None:
    """TransientError: the next opening finds it so too, and copies the table."""
    if columns := rewritten(copied, now):
        raise TransientError(f"{target.quoted}: the type of {', '.join(columns)} was changed; the table is copied again")


def require_not_regrouped(target: Target, copied: Collection[str], now: Members) -> None:
    """TransientError, as above."""
    if regrouped(copied, now):
        raise TransientError(f"{target.quoted}: a partition was attached, detached, dropped or emptied; it is copied again")


def _form(oid: int, modifier: int) -> str:
    """A text's greatest length, and how many digits a numeric has before its point, change no value."""
    if oid in (_VARCHAR, _TEXT):
        return str(_TEXT)
    if oid == _NUMERIC and modifier >= 0:
        return f"{oid}({(modifier - 4) & 0x7FF})"  # the scale, as numerictypmodin packs it
    return f"{oid}({modifier})"
