"""Scalar expressions of a plan (DuckDB SQL over quoted columns) in Flink SQL, with the same value. What has no exact equal is
refused; tests run each function on Flink."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property

import sqlglot
from sqlglot import exp

from topline.errors import ModelError
from topline.models.flink import words
from topline.models.flink.words import found, matches, text
from topline.models.typer import Typer
from topline.schema import Column

_ALIKE = {
    exp.And: "AND", exp.Or: "OR", exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM", exp.Is: "IS", exp.Add: "+", exp.Sub: "-",
    exp.Mul: "*", exp.Like: "LIKE",
}  # fmt: skip
_FUNCTIONS: Mapping[type[exp.Expr], str] = {
    exp.Abs: "ABS", exp.Sign: "SIGN", exp.Ceil: "CEIL", exp.Floor: "FLOOR", exp.Coalesce: "COALESCE", exp.Nullif: "NULLIF",
    exp.Length: "CHAR_LENGTH", exp.Substring: "SUBSTRING", exp.Replace: "REPLACE", exp.Lower: "LOWER", exp.Upper: "UPPER",
    exp.StartsWith: "STARTSWITH", exp.Left: "LEFT", exp.Right: "RIGHT", exp.Chr: "CHR",
}  # fmt: skip
_WHOLE = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INT(EGER)?")
_DECIMAL = re.compile(r"DECIMAL\((\d+), ?(\d+)\)")
_TEXT, _TIME, _INSTANT, _BOOLEAN = "VARCHAR", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "BOOLEAN"
_PARTS = dict.fromkeys(("YEAR", "MONTH", "DAY", "QUARTER", "WEEK", "DOY", "ISODOW"), "{}") | {"DOW": "{} - 1"}
_CLOCK = {"HOUR": "HH", "MINUTE": "mm", "SECOND": "ss"}
_TRIMS = {"": "BTRIM", "BOTH": "BTRIM", "LEADING": "LTRIM", "TRAILING": "RTRIM"}


def expression(sql: str, columns: Sequence[Column], typer: Typer) -> str:
    """`sql` over `columns`, in Flink's. ModelError for what has no exact equal there."""
    return _Writer(columns, typer).write(sqlglot.parse_one(sql, read="duckdb"))


class _Writer:
    def __init__(self, columns: Sequence[Column], typer: Typer) -> None:
        self._columns, self._typer = columns, typer

    def write(self, node: exp.Expr) -> str:
        kind = type(node)
        if kind in _ALIKE:
            return f"({self.write(node.this)} {_ALIKE[kind]} {self.write(node.expression)})"
        if kind in _FUNCTIONS:
            arguments = [self.write(part) for part in _arguments(node)]
            return f"{_FUNCTIONS[kind]}({', '.join(arguments)})"
        if (own := self._own.get(kind)) is None:
            raise ModelError(f"{node.sql('duckdb')} has no exact equal in Flink SQL", hint="use a shared macro")
        return own(node)

    @cached_property
    def _own(self) -> Mapping[type[exp.Expr], Callable[[exp.Expr], str]]:
        return {
            exp.Column: lambda node: words.quoted(node.name),
            exp.Literal: lambda node: text(node.name) if node.is_string else node.name,
            exp.Null: lambda _: "NULL",
            exp.Boolean: lambda node: "TRUE" if node.this else "FALSE",
            exp.Paren: lambda node: f"({self.write(node.this)})",
            exp.Not: lambda node: f"(NOT {self.write(node.this)})",
            exp.Neg: lambda node: f"(-{self.write(node.this)})",
            exp.Collate: lambda node: self.write(node.this),  # Flink compares text by its bytes
            exp.Between: self._between,
            exp.In: self._in,
            exp.Case: self._case,
            exp.If: self._if,
            exp.DPipe: lambda node: f"({self._text(node.this)} || {self._text(node.expression)})",
            exp.Concat: self._concat,
            exp.Cast: self._cast,
            exp.TryCast: self._cast,
            exp.AtTimeZone: self._at_zone,
            exp.Trim: self._trim,
            exp.Mod: lambda node: f"MOD({self.write(node.this)}, {self.write(node.expression)})",
            exp.IntDiv: self._int_div,
            exp.Greatest: lambda node: self._outermost("GREATEST", node),
            exp.Least: lambda node: self._outermost("LEAST", node),
            exp.Extract: self._extract,
            exp.RegexpLike: lambda node: found(self.write(node.this), self._pattern(node)),
            exp.RegexpFullMatch: lambda node: matches(self.write(node.this), self._pattern(node)),
            exp.RegexpReplace: self._regexp_replace,
            exp.RegexpExtract: self._regexp_extract,
            exp.StrPosition: lambda node: f"POSITION({self.write(node.args['substr'])} IN {self.write(node.this)})",
            exp.Pad: self._pad,
        }

    def _type(self, node: exp.Expr) -> str:
        """DuckDB's type of a part of the expression."""
        return self._typer.raw(self._columns, [node.sql("duckdb")])[0]

    def _between(self, node: exp.Expr) -> str:
        return f"({self.write(node.this)} BETWEEN {self.write(node.args['low'])} AND {self.write(node.args['high'])})"

    def _in(self, node: exp.Expr) -> str:
        return f"({self.write(node.this)} IN ({', '.join(self.write(one) for one in node.expressions)}))"

    def _case(self, node: exp.Expr) -> str:
        subject = self.write(node.this) + " " if node.this else ""
        whens = " ".join(f"WHEN {self.write(w.this)} THEN {self.write(w.args['true'])}" for w in node.args["ifs"])
        default = f" ELSE {self.write(node.args['default'])}" if node.args.get("default") else ""
        return f"CASE {subject}{whens}{default} END"

    def _if(self, node: exp.Expr) -> str:
        default = f" ELSE {self.write(node.args['false'])}" if node.args.get("false") else ""
        return f"CASE WHEN {self.write(node.this)} THEN {self.write(node.args['true'])}{default} END"

    def _concat(self, node: exp.Expr) -> str:
        """DuckDB's passes NULLs over."""
        return "(" + " || ".join(f"COALESCE({self._text(part)}, '')" for part in node.expressions) + ")"

    def _text(self, node: exp.Expr) -> str:
        """A value as DuckDB writes it."""
        if isinstance(node, exp.Literal) and node.is_string:
            return self.write(node)
        kind, value = self._type(node), self.write(node)
        if kind == _BOOLEAN:
            return f"LOWER(CAST({value} AS STRING))"
        if kind in (_TIME, _INSTANT):
            shown = f"DATE_FORMAT({value if kind == _TIME else words.local(value)}, 'yyyy-MM-dd HH:mm:ss.SSSSSS')"
            shown = f"REGEXP_REPLACE({shown}, '[.]?0*\\z', '')" if kind == _TIME else shown
            return shown if kind == _TIME else f"(REGEXP_REPLACE({shown}, '[.]0*\\z', '') || '+00')"
        return value if kind == _TEXT else f"CAST({value} AS STRING)"

    def _cast(self, node: exp.Expr) -> str:
        to, trying = node.args["to"].sql("duckdb"), isinstance(node, exp.TryCast)
        inner = node.this.unnest()
        if isinstance(inner, exp.Null):
            return f"CAST(NULL AS {self._named(to)})"
        if to in ("TEXT", _TEXT):
            return self._text(node.this)
        if to in ("TIMESTAMPTZ", _INSTANT, _TIME):
            return self._time(node.this, to == _TIME)
        if to == "DATE" and isinstance(inner, exp.AtTimeZone) and self._type(inner.this) == _INSTANT:
            return words.zoned_date(words.local(self.write(inner.this)), inner.args["zone"].name)
        if _WHOLE.fullmatch(to):
            return self._to_whole(node.this, to, trying)
        if to == "DATE":
            return self._date(node.this, trying)
        return f"{'TRY_CAST' if trying else 'CAST'}({self.write(node.this)} AS {self._named(to)})"

    def _date(self, node: exp.Expr, trying: bool) -> str:
        kind, value = self._type(node), self.write(node)
        if kind == _TEXT:
            begin = f"COALESCE(REGEXP_EXTRACT({value}, {text(words.DATE_OF_TIME)}, 1), {value})"
            return f"{'TRY_CAST' if trying else 'CAST'}({begin} AS DATE)"
        return words.date_of(value if kind == _TIME else words.local(value)) if kind in (_TIME, _INSTANT) else value

    def _time(self, node: exp.Expr, plain: bool) -> str:
        """A TIMESTAMP (`plain`) or an instant."""
        if isinstance(node, exp.Literal) and node.is_string:
            written = datetime.fromisoformat(node.name)
            shown = (written.astimezone(UTC) if written.tzinfo else written).strftime("%Y-%m-%d %H:%M:%S.%f")
            value = f"CAST({text(shown)} AS TIMESTAMP(6))"
            return value if plain else words.instant(value)
        kind, value = self._type(node), self.write(node)
        if kind == _TEXT:
            return words.read_time(value) if plain else words.read_instant(value)
        return f"CAST({value} AS {'TIMESTAMP(6)' if plain else 'TIMESTAMP_LTZ(6)'})"

    def _to_whole(self, node: exp.Expr, to: str, trying: bool) -> str:
        """DuckDB rounds, half away from zero; Flink would cut off, and wrap."""
        kind, value = self._type(node), self.write(node)
        if _WHOLE.fullmatch(kind) or kind == _BOOLEAN:
            return f"CAST({value} AS {self._named(to)})"
        rounded = f"{'TRY_CAST' if trying or kind != _TEXT else 'CAST'}({value} AS DECIMAL(38, 0))"
        if trying:
            fits = f"{rounded} BETWEEN -9223372036854775808 AND 9223372036854775807"
            return f"CASE WHEN {fits} THEN CAST({rounded} AS {self._named(to)}) END"
        return words.whole(rounded)

    def _named(self, to: str) -> str:
        """A type's name in Flink."""
        if match := _DECIMAL.fullmatch(to):
            return f"DECIMAL({match[1]}, {match[2]})"
        known = {"DATE": "DATE", "BOOLEAN": "BOOLEAN", "TEXT": "STRING", _TEXT: "STRING", _TIME: "TIMESTAMP(6)"}
        known |= {"TIMESTAMPTZ": "TIMESTAMP_LTZ(6)", _INSTANT: "TIMESTAMP_LTZ(6)", "HUGEINT": "DECIMAL(38, 0)"}
        if to not in known and not _WHOLE.fullmatch(to):
            raise ModelError(f"the type {to} has no exact equal in Flink SQL")
        return known.get(to, "BIGINT")

    def _at_zone(self, node: exp.Expr) -> str:
        value, zone = self.write(node.this), node.args["zone"].name
        if self._type(node.this) == _INSTANT:
            return words.zoned(words.local(value), "UTC", zone)
        return words.instant(words.zoned(value, zone, "UTC"))

    def _trim(self, node: exp.Expr) -> str:
        characters = self.write(node.expression) if node.expression else text(words.SPACES)
        return f"{_TRIMS[str(node.args.get('position') or '').upper()]}({self.write(node.this)}, {characters})"

    def _int_div(self, node: exp.Expr) -> str:
        return f"({self.write(node.this)} / {self.write(node.expression)})"

    def _outermost(self, function: str, node: exp.Expr) -> str:
        """DuckDB's pass NULLs over: each argument that is NULL is replaced by one that is not."""
        parts = [self.write(part) for part in (node.this, *node.expressions)]
        turned = [f"COALESCE({', '.join(parts[i:] + parts[:i])})" for i in range(len(parts))]
        return f"{function}({', '.join(turned)})"

    def _extract(self, node: exp.Expr) -> str:
        part = node.name.upper()
        kind, value = self._type(node.expression), self.write(node.expression)
        clock = words.local(value) if kind == _INSTANT else value
        if part in _CLOCK and kind != "DATE":
            return f"CAST(DATE_FORMAT({clock}, {text(_CLOCK[part])}) AS BIGINT)"
        if part not in _PARTS:
            allowed = ", ".join([*_PARTS, *_CLOCK]).lower()
            raise ModelError(f"extract({part.lower()} from ..) has no exact equal in Flink SQL; there are {allowed}")
        day = value if kind == "DATE" else words.date_of(clock)
        return f"({_PARTS[part].format(f'EXTRACT({part} FROM {day})')})"

    def _pattern(self, node: exp.Expr) -> str:
        pattern = node.expression
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise ModelError(f"{node.sql('duckdb')}: on Flink a pattern is a literal")
        return str(pattern.name)

    def _regexp_replace(self, node: exp.Expr) -> str:
        """DuckDB replaces the first match, or with `g` all; Flink replaces all, and knows no groups in what it puts there."""
        value, pattern, new = self.write(node.this), self._pattern(node), str(node.args["replacement"].name)
        flags = node.args.get("modifiers")
        if flags is None or "g" not in str(flags.name):
            return self._replaced_once(value, pattern, new)
        if re.search(r"\\[0-9]", new):
            raise ModelError(f"{node.sql('duckdb')}: Flink SQL has no groups in a replacement of all matches")
        return f"REGEXP_REPLACE({value}, {text('(?d)' + pattern)}, {text(new)})"

    def _replaced_once(self, value: str, pattern: str, new: str) -> str:
        """What stands before the first match, what comes in its place, what stands after it; without a match, all."""
        whole = text(rf"(?d)\A([\s\S]*?)({pattern})([\s\S]*)\z")
        after = re.compile(pattern).groups + 3
        parts = ["1", *(part for part in re.split(r"(\\[0-9])", new) if part), str(after)]
        taken = [_taken(value, whole, part, i in (0, len(parts) - 1)) for i, part in enumerate(parts)]
        return f"COALESCE({' || '.join(taken)}, {value})"

    def _regexp_extract(self, node: exp.Expr) -> str:
        """'' where DuckDB finds nothing."""
        group = node.args.get("group")
        value = self.write(node.this)
        taken = f"REGEXP_EXTRACT({value}, {text('(?d)' + self._pattern(node))}, {group.name if group else 0})"
        return f"CASE WHEN {value} IS NOT NULL THEN COALESCE({taken}, '') END"

    def _pad(self, node: exp.Expr) -> str:
        """Flink's own counts a character of four bytes twice."""
        value, length = self.write(node.this), f"CAST({self.write(node.expression)} AS INT)"
        fill = self.write(node.args["fill_pattern"]) if node.args.get("fill_pattern") else "' '"
        padding = f"SUBSTRING(REPEAT({fill}, {length}), 1, {length} - CHAR_LENGTH({value}))"
        padded = f"{padding} || {value}" if node.args.get("is_left") else f"{value} || {padding}"
        return f"CASE WHEN CHAR_LENGTH({value}) < {length} THEN {padded} ELSE SUBSTRING({value}, 1, {length}) END"


def _taken(value: str, pattern: str, part: str, always: bool) -> str:
    """A piece of a replacement: its own text, or a group of the pattern; one that is `always` there is NULL without a match."""
    if always:
        return f"REGEXP_EXTRACT({value}, {pattern}, {part})"
    if re.fullmatch(r"\\[0-9]", part):
        return f"COALESCE(REGEXP_EXTRACT({value}, {pattern}, {int(part[1:]) + 2}), '')"
    return text(part)


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    """In the order in which they are written."""
    found: list[exp.Expr] = []
    for name in node.arg_types:
        value = node.args.get(name)
        found += value if isinstance(value, list) else [value] if isinstance(value, exp.Expr) else []
    return found
