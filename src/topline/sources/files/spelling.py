"""Numbers and times as people of many countries write them, as the text that staging casts: `1.234,56` as `1234.56`.

Only what is written exactly as the settings say is changed. Anything else stays as it stands, so that staging rejects it with
its original text. What staging would then read otherwise than the settings say is marked, so that it is never misread.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from topline.sources.files.lines import Mask
from topline.sources.files.moments import Moments

_SPACE = "[ \u00a0\u2000-\u200a\u202f\u205f\u3000]"
_ALIKE = {" ": "[ \u00a0\u2009\u202f]", "'": "['\u2019]"}  # what is written for a space, and for an apostrophe, in numbers
_EXPONENT = "(?:[eE][+-]?[0-9]{1,3})?"
PLAIN = rf"^{_SPACE}*[+-]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+){_EXPONENT}{_SPACE}*$"


@dataclass(frozen=True, slots=True)
class Numbers:
    """`decimal`: what stands before the decimals; `thousands`: what stands between groups of three digits, '' for nothing."""

    decimal: str
    thousands: str

    @property
    def pattern(self) -> str:
        point, groups = re.escape(self.decimal), self._between
        whole = rf"[0-9]{{1,3}}(?:{groups}[0-9]{{3}})+|[0-9]+" if groups else "[0-9]+"
        return rf"^{_SPACE}*[+-]?(?:(?:{whole})(?:{point}[0-9]*)?|{point}[0-9]+){_EXPONENT}{_SPACE}*$"

    @property
    def _between(self) -> str:
        return _ALIKE.get(self.thousands, re.escape(self.thousands))

    def written(self, texts: pa.Array) -> pa.Array:
        """Which texts are written so."""
        return pc.fill_null(pc.match_substring_regex(texts, self.pattern), False)

    def spelled(self, texts: pa.Array) -> pa.Array:
        """The texts with these numbers as `1234.56`. A number with a point that is not written so gets a remark behind it."""
        numbers = pc.replace_substring_regex(texts, rf"^{_SPACE}+|{_SPACE}+$", "")
        if self.thousands:
            numbers = pc.replace_substring_regex(numbers, self._between, "")
        numbers = pc.replace_substring(numbers, self.decimal, ".")
        others = self._marked(texts) if self.decimal != "." else texts
        return pc.if_else(self.written(texts), numbers, others)

    def _marked(self, texts: pa.Array) -> pa.Array:
        return marked(texts, PLAIN, f" (the decimal is {self.decimal!r})")


def marked(texts: pa.Array, pattern: str, remark: str) -> pa.Array:
    """The texts, those that match with the remark behind them."""
    return pc.if_else(pc.match_substring_regex(texts, pattern), pc.binary_join_element_wise(texts, remark, ""), texts)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one column is written in the files."""

    numbers: Numbers | None = None
    moments: Moments | None = None

    @classmethod
    def of(cls, decimal: str, thousands: str, formats: Sequence[str], zone: str) -> "Spelling | None":
        """None where nothing is said of the column."""
        numbers = Numbers(decimal or ".", thousands) if decimal or thousands else None
        moments = Moments.of(tuple(formats), zone) if formats or zone else None
        return cls(numbers, moments) if numbers or moments else None

    def written(self, texts: pa.Array) -> pa.Array:
        """Which texts are written as the settings say; a zone alone says nothing of how."""
        if self.numbers:
            return self.numbers.written(texts)
        if self.moments and self.moments.formats:
            return self.moments.written(texts)
        return pa.repeat(True, len(texts))

    def spelled(self, column: pa.ChunkedArray | pa.Array, typed: Mask | None) -> pa.Array:
        """The column in the spelling of staging. `typed`: values that are no text in the file; they stay."""
        texts = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if typed is not None and typed.all():
            return texts
        result = texts
        for way in (self.numbers, self.moments):
            result = way.spelled(result) if way else result
        return result if typed is None or not np.any(typed) else pc.if_else(pa.array(typed), texts, result)
