"""What Flink SQL calls types and names, and the pieces of SQL that more than one function is written with.

Source: Flink 2.3, "Data types", "Built-in functions". The session's zone is UTC, as DuckDB's is where models run from scratch.
"""

from topline.schema import Type

TYPES: dict[Type, str] = {
    Type.TEXT: "STRING",
    Type.BIGINT: "BIGINT",
    Type.DECIMAL: "DECIMAL(18, 4)",
    Type.DATE: "DATE",
    Type.TIMESTAMP: "TIMESTAMP(6)",
    Type.TIMESTAMPTZ: "TIMESTAMP_LTZ(6)",
    Type.BOOLEAN: "BOOLEAN",
}
SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))
"""What `trim` takes away: the characters of the Unicode category Zs."""
_WHOLE_SECONDS, _FRACTION = "'yyyy-MM-dd HH:mm:ss'", "'.SSSSSS'"
DATE_OF_TIME = r"\A *([0-9]{4}-[0-9]{2}-[0-9]{2})[ T][0-9:.Z+-]* *\z"
_END = r"\z"
_OFFSET = r"(?<=:[0-9]{2}|[.][0-9]{1,9})([+-][0-9]{2}):?([0-9]{2})?\z"
_NO_SECONDS = r"(?<= [0-9]{2}:[0-9]{2})\z"


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """A literal: only the quote is special in it."""
    return "'" + value.replace("'", "''") + "'"


def found(value: str, pattern: str) -> str:
    """Whether the pattern (Java's) is found in `value`. A dot stands for all but the line feed, as in RE2."""
    return f"REGEXP({value}, {text('(?d)' + pattern)})"


def matches(value: str, pattern: str) -> str:
    """Whether the whole of `value` is of the pattern."""
    return found(value, rf"\A(?:{pattern})\z")


def zoned(value: str, before: str, after: str) -> str:
    """A TIMESTAMP of one zone's clock as that of another. Java reads a time that a change of the clock skips or doubles in
    standard time, as DuckDB does."""
    seconds = f"CONVERT_TZ(DATE_FORMAT({value}, {_WHOLE_SECONDS}), {text(before)}, {text(after)})"
    return f"CAST({seconds} || DATE_FORMAT({value}, {_FRACTION}) AS TIMESTAMP(6))"


def date_of(moment: str) -> str:
    """The date of a TIMESTAMP: Flink's own cast takes the wrong day before 1970."""
    return f"CAST(DATE_FORMAT({moment}, 'yyyy-MM-dd') AS DATE)"


def zoned_date(value: str, zone: str) -> str:
    """The date of a TIMESTAMP in UTC by another zone's clock."""
    return f"CAST(SUBSTRING(CONVERT_TZ(DATE_FORMAT({value}, {_WHOLE_SECONDS}), 'UTC', {text(zone)}), 1, 10) AS DATE)"


def local(instant: str) -> str:
    """An instant by UTC's clock."""
    return f"CAST({instant} AS TIMESTAMP(6))"


def instant(utc: str) -> str:
    """The instant of a TIMESTAMP by UTC's clock."""
    return f"CAST({utc} AS TIMESTAMP_LTZ(6))"


def read_time(value: str) -> str:
    """ISO 8601 text without an offset as TIMESTAMP(6), NULL where it is none: a date; a time of day with or without seconds."""
    seconds = f"REGEXP_REPLACE(REPLACE({value}, 'T', ' '), {text(_NO_SECONDS)}, ':00')"
    return f"TRY_CAST({seconds} AS TIMESTAMP(6))"


def read_instant(value: str) -> str:
    """ISO 8601 text as TIMESTAMP_LTZ(6), NULL where it is none; without an offset it is UTC's."""
    hours = f"REGEXP_EXTRACT({value}, {text(_OFFSET)}, 1)"
    signed = f"REGEXP_REPLACE(REGEXP_EXTRACT({value}, {text(_OFFSET)}, 0), '(?<=[+-])[0-9]{{2}}:?', '')"
    minutes = f"COALESCE(TRY_CAST({hours} AS INT), 0) * -60 - COALESCE(TRY_CAST({signed} AS INT), 0)"
    clock = f"REGEXP_REPLACE({value}, {text('(Z|' + _OFFSET + ')' + _END)}, '')"
    return instant(f"TIMESTAMPADD(MINUTE, {minutes}, {read_time(clock)})")


def once(value: str) -> str:
    """An expression that Flink's planner does not put in the place of its name, each time that one is used above: nested, such
    expressions grow without end, and are computed as often. What is not deterministic, it leaves where it is."""
    return f"CASE WHEN RAND() < 2 THEN {value} END"


def whole(value: str) -> str:
    """A DECIMAL(38, 0) as BIGINT; one that does not fit fails the job, where Flink's own cast of a number would wrap."""
    return f"CAST(CAST({value} AS STRING) AS BIGINT)"


def money(value: str, what: str) -> str:
    """A wider decimal as DECIMAL(18, 4). One that does not fit fails the job, and the message says `what`; Flink's own cast
    would give NULL."""
    failing = f"CAST(CAST({text(f'overflow of {what}: ')} || CAST({value} AS STRING) AS BIGINT) AS DECIMAL(18, 4))"
    fitted = f"TRY_CAST({value} AS DECIMAL(18, 4))"
    return f"CASE WHEN {value} IS NULL OR {fitted} IS NOT NULL THEN {fitted} ELSE {failing} END"
