"""What the first staging model of a sketch says, piece by piece; its form is templates/staging.sql."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from topline.scaffold.found import FoundColumn
from topline.scaffold.guess import Lines, Sketch, Use
from topline.schema import Type

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED = frozenset(["order", "group", "user", "table", "desc", "end", "from", "to", "select", "where", "check", "default"])
# What a sale needs and nothing was found for: a constant, so that there is a ranking from the first minute on.
_CONSTANTS = {"city": "everywhere", "country": "everywhere", "salesman_id": "everybody"}
_UNKNOWN = "no column was found for it: name one, such as "


@dataclass(frozen=True, slots=True)
class LineTotals:
    """How the lines of a sale are summed. `amount`: Jinja; `key`: their columns that are the sale's key."""

    table: str
    key: list[str]
    amount: str
    condition: str


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return name if _PLAIN.fullmatch(name) and name not in _RESERVED else '"' + name.replace('"', '""') + '"'


def columns(sketch: Sketch) -> Iterator[tuple[str, str]]:
    """The columns of `cleaned`, each with a note for people or ''."""
    key = [f"cast({quoted(sketch.fact.name)}.{quoted(name)} as text)" for name in sketch.fact.key]
    yield " || '-' || ".join(key) + " as sale_id", ""
    yield from _date(sketch)
    yield from (_text(role, sketch) for role in ("country", "region", "city", "salesman_id"))
    names = [f"coalesce({{{{ {_macro('nonempty', use)} }}}}, '')" for use in sketch.uses.get("salesman_name", ())]
    yield (" || ' ' || ".join(names) or "''") + " as salesman_name", ""
    yield from _amount(sketch)
    currency = sketch.uses.get("currency")
    yield (f"{{{{ {_macro('nonempty', currency[0])} }}}}" if currency else "'{{ var(\"currency\") }}'") + " as currency", ""


def joins(sketch: Sketch) -> list[tuple[str, str, str]]:
    """Table, alias and condition of each."""
    return [
        (join.table.name, join.alias, _matched(join.parent, join.alias, (join.reference.columns, join.reference.referred)))
        for join in sketch.joins
    ]


def line_totals(sketch: Sketch) -> LineTotals | None:
    lines = sketch.lines
    if lines is None:
        return None
    key = [quoted(name) for name in lines.reference.columns]
    condition = _matched(sketch.fact.name, "totals", (lines.reference.referred, lines.reference.columns))
    return LineTotals(lines.table.name, key, _line_amount(lines), condition)


def texts(sketch: Sketch) -> list[str]:
    """The roles of which the text as it came is kept beside the value."""
    roles = ["date"] if sketch.lines else ["date", "amount"]
    return [role for role in roles if (use := sketch.uses.get(role)) and use[0].column.type is Type.TEXT]


def _line_amount(lines: Lines) -> str:
    amount = _money(lines.price, quoted(lines.price.name))
    if lines.quantity is not None:
        amount = f"try_times({amount}, {_number(lines.quantity)})"
    if lines.discount is not None:
        amount = f"try_times({amount}, '1 - coalesce(' ~ {_rate(lines.discount)} ~ ', 0)')"
    return amount


def _date(sketch: Sketch) -> Iterator[tuple[str, str]]:
    found = sketch.uses.get("date")
    if found is None:
        yield "date '2000-01-01' as date", _UNKNOWN + "sale_date('table.column', var('time_zone')), in double braces"
    elif found[0].column.type is Type.TEXT:
        yield f"{{{{ {_macro('nonempty', found[0])} }}}} as date_text", ""
        yield f"{{{{ sale_date('{_sql(found[0])}', var('time_zone')) }}}} as date", ""
    elif found[0].column.type is Type.DATE:
        yield f"{_sql(found[0])} as date", ""
    elif found[0].column.type is Type.TIMESTAMP:  # a time without a zone is of the day that it shows
        yield f"cast({_sql(found[0])} as date) as date", ""
    else:
        yield f"{{{{ {_macro('business_date', found[0])} }}}} as date", ""


def _text(role: str, sketch: Sketch) -> tuple[str, str]:
    found = sketch.uses.get(role)
    if found is None:
        constant = _CONSTANTS.get(role, "")
        return f"'{constant}' as {role}", _UNKNOWN + "nonempty('table.column'), in double braces" if constant else ""
    value = f"{{{{ {_macro('nonempty', found[0])} }}}}"
    return (f"coalesce({value}, '') as region" if role == "region" else f"{value} as {role}"), ""


def _amount(sketch: Sketch) -> Iterator[tuple[str, str]]:
    found = sketch.uses.get("amount")
    if sketch.lines is not None:
        yield "case when totals.unreadable = 0 then totals.amount end as amount", ""
    elif found is None:
        yield "cast(0 as decimal(18,4)) as amount", _UNKNOWN + "try_decimal('table.column'), in double braces"
    else:
        if found[0].column.type is Type.TEXT:
            yield f"{{{{ {_macro('nonempty', found[0])} }}}} as amount_text", ""
        yield f"{{{{ {_money(found[0].column, _sql(found[0]))} }}}} as amount", ""


def _matched(left: str, right: str, ends: tuple[Sequence[str], Sequence[str]]) -> str:
    pairs = zip(*ends, strict=True)
    return " and ".join(f"{quoted(left)}.{quoted(one)} = {quoted(right)}.{quoted(other)}" for one, other in pairs)


def _sql(use: Use) -> str:
    return f"{quoted(use.alias)}.{quoted(use.column.name)}"


def _macro(name: str, use: Use) -> str:
    return f"{name}('{_sql(use)}')"


def _money(column: FoundColumn, sql: str) -> str:
    """An expression in Jinja that is a DECIMAL(18,4)."""
    return f"try_decimal('{sql}')" if column.type is Type.TEXT else f"'cast({sql} as decimal(18,4))'"


def _number(column: FoundColumn) -> str:
    sql = quoted(column.name)
    return f"try_decimal('{sql}')" if column.type is Type.TEXT else f"'{sql}'"


def _rate(column: FoundColumn) -> str:
    """A number that money is multiplied by, with more decimals than money has."""
    sql = quoted(column.name)
    return f"try_rate('{sql}')" if column.type is Type.TEXT else f"'{sql}'"
