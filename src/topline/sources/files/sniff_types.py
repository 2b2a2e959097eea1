"""What the texts of a column seem to be: numbers, days or times, and how they are written."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from topline.sources.files.header import name_alike
from topline.sources.files.moments import Moments
from topline.sources.files.spelling import PLAIN, Numbers

_MOST = 0.9  # of the values must be alike; the others are faults of the file
_WAYS = ((",", "."), (".", ","), (",", " "), (".", "'"), (".", " "))
_ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.]\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"
_DAYS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y", "%d{0}%b{0}%Y", "%b{0}%d,{0}%Y")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", " %H.%M")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # InvoiceNo is invoice_no
_COMPACT = ("%Y%m%d", "%Y%m%d%H%M%S", "%Y%m%d %H%M%S")


@dataclass(frozen=True, slots=True)
class Guess:
    """A column: the `name` to declare, the `field` in the file, what its values are (`kind`: text, number, date, time, boolean;
    of Parquet its type), and what to say of it in the settings."""

    name: str
    field: str
    kind: str = "text"
    settings: dict[str, Any] = made(default_factory=dict)
    remark: str = ""

    @property
    def needs_field(self) -> bool:
        """Whether the file's name is not found by itself."""
        return name_alike(self.field) != self.name


def named(fields: Sequence[str]) -> list[str]:
    """Names to declare for a file's columns: lower case, digits and underscores, each another one."""
    names: list[str] = []
    for place, text in enumerate(fields, start=1):
        name = re.sub(r"\W+", "_", _CAMEL.sub("_", text.strip()).casefold()).strip("_") or f"column_{place}"
        name = f"c_{name}" if name[0].isdigit() else name
        names.append(name if name not in names else f"{name}_{place}")
    return names


def guess_column(name: str, own: str, values: Sequence[str | None]) -> Guess:
    texts = pa.array([value for value in values if value and value.strip()], pa.string())
    kind, said, remark = _guess(texts) if len(texts) else ("text", {}, "")
    guess = Guess(name, own, kind, said, remark)
    return Guess(name, own, kind, {"field": own, **said}, remark) if guess.needs_field else guess


def _guess(texts: pa.Array) -> tuple[str, dict[str, Any], str]:
    if _share(pc.match_substring_regex(texts, r"^(?i:true|false)$")) >= _MOST:
        return "boolean", {}, ""
    if _share(pc.match_substring_regex(texts, _ISO)) >= _MOST:
        return ("time" if _share(pc.match_substring(texts, ":")) >= 0.5 else "date"), {}, ""
    return _moment(texts) or _number(texts) or ("text", {}, "")


def _share(mask: pa.Array) -> float:
    return (pc.sum(mask).as_py() or 0) / len(mask)


def _number(texts: pa.Array) -> tuple[str, dict[str, Any], str] | None:
    fitting = [way for way in _WAYS if _share(pc.match_substring_regex(texts, Numbers(*way).pattern)) >= _MOST]
    if _share(pc.match_substring_regex(texts, PLAIN)) >= _MOST:
        thousandths = _share(pc.match_substring_regex(texts, r"^[+-]?[1-9]\d{0,2}[.]\d{3}$")) == 1
        return (
            "number",
            {},
            "1.234 may be thousands, or have three decimals: say which (decimal, thousands)" if thousandths else "",
        )
    if not fitting:
        return None
    if {(",", "."), (".", ",")} <= {*fitting}:
        return "number", {}, "1,234 may be thousands, or have three decimals: say which (decimal, thousands)"
    decimal, thousands = fitting[0]
    said = {"decimal": decimal} if decimal != "." else {}
    grouped = _share(pc.match_substring_regex(texts, Numbers(decimal, "").pattern)) < 1
    return "number", said | ({"thousands": thousands} if grouped else {}), ""


def _moment(texts: pa.Array) -> tuple[str, dict[str, Any], str] | None:
    shapes = Counter(re.sub(r"\d+", "0", text) for text in texts.to_pylist()).most_common(1)[0][0]
    separators = [sep for sep in "/.- " if f"0{sep}" in shapes]
    formats = [day.format(sep) + clock for sep in separators for day in _DAYS for clock in _CLOCKS]
    if shapes.replace(" ", "") in ("0", "00"):
        formats = [*_COMPACT]
    fitting = [text for text in formats if _fits(texts, text)]
    if not fitting:
        return None
    kind = "time" if "%H" in fitting[0] or "%I" in fitting[0] else "date"
    other = fitting[0].replace("%d", "%x").replace("%m", "%d").replace("%x", "%m")
    if other != fitting[0] and other in fitting:
        return kind, {}, f"day and month cannot be told apart: say format: '{fitting[0]}' or '{other}'"
    return kind, {"format": fitting[0]}, ""


def _fits(texts: pa.Array, format_: str) -> bool:
    return _share(Moments.of((format_,), "").written(texts)) >= _MOST
