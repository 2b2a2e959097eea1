"""Dates and times in a declared format, as ISO 8601 text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.changes import Ints
from topline.localtime import offset_of
from topline.sources.files.lines import Mask

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = ("uary", "ruary", "ch", "il", "", "e", "y", "ust", "tember", "ober", "ember", "ember")
_DAYS = "(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_NUMBERS = {"Y": (4, 4), "y": (2, 2), "m": (1, 2), "d": (1, 2), "H": (1, 2), "I": (1, 2), "M": (1, 2), "S": (1, 2), "f": (1, 9)}
_WORDS = {
    "b": "(?i:" + "|".join(f"{short}(?:{rest})?" for short, rest in zip(_MONTHS, _LONG, strict=True)) + ")",
    "p": "(?i:[ap][.]?m[.]?)",
    "z": "Z|[+-][0-9]{2}:?[0-9]{2}",
}
_SKIPPED = {"a": f"(?i:{_DAYS})", "%": "%"}
_SAME = {"B": "b", "A": "a", "h": "b", "e": "d"}
_DIRECTIVE = re.compile("%(.)|([^%]+)", re.DOTALL)
_ALLOWED = "%Y %y %m %b %d %H %I %p %M %S %f %z %a %%"
_SPACE = "[ \u00a0\u202f]*"
_ISO = (
    "(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})[T ](?P<H>[0-9]{2}):(?P<M>[0-9]{2})"
    "(?::(?P<S>[0-9]{2})(?:[.](?P<f>[0-9]{1,9}))?)?"
)
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


@lru_cache
def pattern_of(text: str) -> str:
    """A format (`%d/%m/%Y %H:%M`) as an expression with groups named like the directives. ValueError says what is wrong.

    A number of one or two digits has both where another number follows or precedes it without anything between.
    """
    pieces = [(_SAME.get(match[1], match[1]), match[2]) for match in _DIRECTIVE.finditer(text)]
    names = [name for name, _ in pieces if name and name not in _SKIPPED]
    unknown = [name for name in names if name not in _NUMBERS and name not in _WORDS]
    if unknown or (text.endswith("%") and not text.endswith("%%")):
        raise ValueError(f"%{unknown[0] if unknown else ''} is not known; allowed: {_ALLOWED}")
    if len(set(names)) < len(names) or not ({"Y", "y"} & {*names} and {"m", "b"} & {*names} and "d" in names):
        raise ValueError("a year, a month and a day are needed, each once")
    if ("I" in names) != ("p" in names) or {"I", "H"} <= {*names} or {"m", "b"} <= {*names} or {"Y", "y"} <= {*names}:
        raise ValueError("%H, or %I with %p; one of %m and %b; one of %Y and %y")
    if (({"M", "S", "f", "z"} & {*names}) and not {"H", "I"} & {*names}) or ("f" in names and "S" not in names):
        raise ValueError("an hour is needed where there are minutes, seconds or an offset, and seconds where there is %f")
    return "".join(_expression(pieces, place) for place in range(len(pieces)))


def _expression(pieces: Sequence[tuple[str | None, str | None]], place: int) -> str:
    name, literal = pieces[place]
    if name is None:
        return re.escape(literal or "")
    if name in _SKIPPED:
        return _SKIPPED[name]
    if name in _WORDS:
        return f"(?P<{name}>{_WORDS[name]})"
    least, most = _NUMBERS[name]
    around = [*pieces[max(0, place - 1) : place], *pieces[place + 1 : place + 2]]
    if any(other in _NUMBERS for other, _ in around):
        least = most
    return f"(?P<{name}>[0-9]{{{least},{most}}})"


@dataclass(frozen=True, slots=True)
class Moments:
    """`patterns`: tried in turn, `formats` of them as declared. `zone`: what a time without an offset gets; '' for nothing.
    `remark`: see `spelled`."""

    formats: tuple[str, ...]
    patterns: tuple[str, ...]
    zone: str
    remark: str = ""

    @classmethod
    def of(cls, formats: tuple[str, ...], zone: str) -> "Moments":
        confusable = next((text for text in formats if text.startswith("%Y-%d")), "")
        return cls(
            formats,
            (*map(pattern_of, formats), *([_ISO] if zone else [])),
            zone,
            f" (the format is {confusable})" if confusable else "",
        )

    def spelled(self, texts: pa.Array) -> pa.Array:
        """The texts with what is written so as `2026-11-21`, `2026-11-21 14:05:00`, `2026-11-21 14:05:00+01:00`.

        Of a time that the clocks show twice the later instant is meant, of one that they leave out the one with the offset
        before, as in staging. Where the year comes first and the day before the month, what looks like ISO 8601 and is not
        written so gets a remark behind it.
        """
        result = self._moments(texts)
        if self.remark:
            iso = pc.match_substring_regex(texts, "^ *[0-9]{4}-[0-9]{2}-[0-9]{2}")
            texts = pc.if_else(iso, pc.binary_join_element_wise(texts, self.remark, ""), texts)
        return pc.coalesce(result, texts)

    def written(self, texts: pa.Array) -> pa.Array:
        """Which texts are written so, and are times."""
        return pc.is_valid(self._moments(texts))

    def _moments(self, texts: pa.Array) -> pa.Array:
        """The texts as ISO 8601, NULL where they are no times."""
        result = self._read(texts, self.patterns[0])
        for pattern in self.patterns[1:]:
            result = pc.coalesce(result, self._read(texts, pattern))
        return result

    def _read(self, texts: pa.Array, pattern: str) -> pa.Array:
        """The texts that match and are times, as ISO 8601; the others NULL."""
        found = pc.extract_regex(texts, pattern=f"^{_SPACE}{pattern}{_SPACE}$")
        parts = {found.type.field(place).name: found.field(place) for place in range(found.type.num_fields)}
        matched = pc.is_valid(found)
        numbers = _Numbers(parts, matched)
        day = pc.binary_join_element_wise(numbers.text("Y", 4), numbers.text("m", 2), numbers.text("d", 2), "-")
        if "H" not in numbers.values:
            return _where(numbers.valid(), day)
        clock = pc.binary_join_element_wise(numbers.text("H", 2), numbers.text("M", 2), numbers.text("S", 2), ":")
        time = pc.binary_join_element_wise(day, pc.binary_join_element_wise(clock, _fraction(parts.get("f"), matched), ""), " ")
        offset, known = self._offsets(parts, numbers)
        return _where(numbers.valid() & known, pc.binary_join_element_wise(time, offset, ""))

    def _offsets(self, parts: dict[str, pa.Array], numbers: "_Numbers") -> tuple[pa.Array, Mask]:
        """The offset to write behind each time, and where there is one, or none is needed."""
        known = np.ones(len(numbers.matched), dtype=bool)
        if "z" in parts:
            offset = pc.replace_substring_regex(parts["z"], "^([+-][0-9]{2})([0-9]{2})$", r"\1:\2")
            return pc.fill_null(offset, ""), known
        if not self.zone:
            return pa.array([""] * len(known), pa.string()), known
        minutes = np.where(numbers.valid(), numbers.minutes(), 0)
        distinct, inverse = np.unique(minutes, return_inverse=True)
        offsets = [_offset(minute, self.zone) for minute in distinct.tolist()]
        return pa.array([text or "" for text in offsets], pa.string()).take(pa.array(inverse)), np.array(
            [text is not None for text in offsets]
        )[inverse]


class _Numbers:
    """The parts of all times as integers, 0 where nothing was written."""

    def __init__(self, parts: dict[str, pa.Array], matched: pa.Array) -> None:
        self.matched = matched.to_numpy(zero_copy_only=False)
        self.values: dict[str, Ints] = {name: self._integers(parts[name]) for name in "YymdHIMS" if name in parts}
        if "y" in self.values:
            year = self.values["y"]
            self.values["Y"] = np.where(year < 69, 2000 + year, 1900 + year)  # as POSIX has it
        if "b" in parts:
            short = pc.utf8_slice_codeunits(pc.utf8_lower(parts["b"]), 0, 3)
            self.values["m"] = pc.fill_null(pc.index_in(short, pa.array(_MONTHS)), -1).to_numpy().astype(np.int64) + 1
        if "I" in self.values:
            after_noon = pc.fill_null(pc.match_substring_regex(parts["p"], "^[pP]"), False).to_numpy(zero_copy_only=False)
            hour = self.values["I"]
            self.values["H"] = np.where((hour < 1) | (hour > 12), 24, hour % 12 + 12 * after_noon)

    def _integers(self, texts: pa.Array) -> Ints:
        filled = pc.if_else(pc.equal(pc.fill_null(texts, ""), ""), "0", texts)
        integers: Ints = pc.cast(filled, pa.int64()).to_numpy(zero_copy_only=False)
        return integers

    def of(self, name: str) -> Ints:
        return self.values[name] if name in self.values else np.zeros(len(self.matched), np.int64)

    def text(self, name: str, width: int) -> pa.Array:
        return pc.utf8_lpad(pc.cast(pa.array(self.of(name)), pa.string()), width, "0")

    def valid(self) -> Mask:
        """A day that the calendar has, a time that a clock shows."""
        year, month, day = self.of("Y"), self.of("m"), self.of("d")
        leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        days = _MONTH_DAYS[np.clip(month, 0, 12)] + (leap & (month == 2))
        valid: Mask = self.matched & (year > 0) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= days)
        return valid & (self.of("H") < 24) & (self.of("M") < 60) & (self.of("S") < 60)

    def minutes(self) -> Ints:
        """Minutes of local time since 1970."""
        year, month, day = self.of("Y"), np.clip(self.of("m"), 1, 12), self.of("d")
        months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        days = months.astype("datetime64[D]").astype(np.int64) + day - 1
        return days * 1440 + self.of("H") * 60 + self.of("M")


_EPOCH = datetime(1970, 1, 1)


def _offset(minute: int, zone: str) -> str | None:
    """`+01:00`: the offset of a local minute (since 1970)."""
    local = _EPOCH + timedelta(minutes=minute)
    seconds = int(offset_of(local, _zone(zone)).total_seconds())
    if seconds % 60:
        return None  # local mean time, before zones
    sign, rest = ("-", -seconds) if seconds < 0 else ("+", seconds)
    return f"{sign}{rest // 3600:02d}:{rest // 60 % 60:02d}"


@lru_cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _fraction(digits: pa.Array | None, matched: pa.Array) -> pa.Array:
    if digits is None:
        return pa.array([""] * len(matched), pa.string())
    filled = pc.fill_null(digits, "")
    return pc.if_else(pc.equal(filled, ""), "", pc.binary_join_element_wise("", filled, "."))


def _where(mask: Mask, texts: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(mask), texts, pa.scalar(None, pa.string()))
