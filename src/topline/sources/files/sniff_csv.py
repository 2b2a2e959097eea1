"""What a CSV file seems to be: its delimiter, quote, escape, comments, and whether its first record names the columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from topline.sources.files.quoted import Dialect, Splitter
from topline.sources.files.sniff_types import guess_column

_SEP = re.compile(r'"?sep=([^\r\n"]{1,4})"?[ \t]*(?:\r\n|\n|\r|$)', re.IGNORECASE)
_USUAL = (",", ";", "\t", "|", "~", "^", "¦", "§", "\x1f", "\x01")
_RUN = re.compile(r"[^\w\s\"'.,;:()\[\]/-]{2,5}")
_RECORDS = 500
_WIDEST = 1 << 20


@dataclass(frozen=True, slots=True)
class CsvGuess:
    """`rows`: sampled records of as many fields as there are `names`."""

    settings: dict[str, Any]
    names: list[str]
    rows: list[list[str | None]]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Split:
    dialect: Dialect
    records: list[list[str | None]]

    @property
    def width(self) -> int:
        return Counter(map(len, self.records)).most_common(1)[0][0]

    @property
    def regular(self) -> list[list[str | None]]:
        width = self.width
        return [record for record in self.records if len(record) == width]

    @property
    def share(self) -> float:
        return len(self.regular) / len(self.records)


def guess_csv(text: str, *, cut: bool) -> CsvGuess | None:
    """`cut`: the sample ends before the file does, so that its last line counts for nothing. None: there is no record."""
    said = _SEP.match(text)
    text = text[said.end() :] if said else text
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = [line for line in text.split("\n")[: -1 if cut else None] if line.strip()]
    comment = "#" if lines and lines[0].startswith("#") else ""
    text = "\n".join(line for line in lines if not comment or not line.startswith(comment))
    if not text:
        return None
    best = _best(text, said[1] if said else "")
    names, rows, header = _names(best.regular)
    settings = _settings(best.dialect, said=bool(said)) | ({"comment": comment} if comment else {})
    settings |= {} if header is True else {"header": header}
    others = len(best.records) - len(best.regular)
    remark = (f"{others} of {len(best.records)} sampled records do not have {best.width} fields",) if others else ()
    return CsvGuess(settings, names, rows, remark)


def _best(text: str, said: str) -> _Split:
    """The dialect under which the most records have the same number of fields, and more than one."""
    delimiters = [said] if said else [*_runs(text), *(usual for usual in _USUAL if usual in text), ","]
    splits = [_split(text, Dialect(d.encode(), b'"', b"", _WIDEST)) for d in dict.fromkeys(delimiters)]
    best = max(splits, key=lambda split: (split.width > 1, round(split.share, 1), min(split.width, 3)))
    if '"' not in text and _quoted(best):
        return _split(text, Dialect(best.dialect.delimiter, b"'", b"", _WIDEST))
    if '\\"' in text:
        escaped = _split(text, Dialect(best.dialect.delimiter, b'"', b"\\", _WIDEST))
        return escaped if escaped.share > best.share else best
    return best


def _runs(text: str) -> list[str]:
    """Several signs together, where none of them ever stands alone."""
    runs = Counter(_RUN.findall(text)).most_common(3)
    return [run for run, count in runs if text.count(run[0]) == run.count(run[0]) * count]


def _quoted(split: _Split) -> bool:
    fields = [value for record in split.regular for value in record if value]
    return sum(len(v) > 1 and v[0] == v[-1] == "'" for v in fields) * 20 > len(fields)


def _split(text: str, dialect: Dialect) -> _Split:
    data, place, splitter = text.encode(), 0, Splitter(dialect)
    records: list[list[str | None]] = []
    while place < len(data) and len(records) < _RECORDS:
        record = splitter.split(data, place, final=True)
        assert record is not None  # the end is final, so a record never goes on
        place = record.end
        records.append([None if value is None else value.decode() for value in record.fields] if not record.fault else [""])
    return _Split(dialect, records)


def _names(records: Sequence[list[str | None]]) -> tuple[list[str], list[list[str | None]], bool]:
    """The columns' names, the rows, and whether the first record names the columns: it then holds distinct words, none of them
    a number or a time where the others of its column are."""
    first = [value or "" for value in records[0]]
    words = [value.strip() for value in first]
    known = [word for word in words if word]
    kinds = [guess_column("", "", [value]).kind for value in first]
    if len(set(known)) == len(known) and known and set(kinds) == {"text"} and not _repeats(records):
        return words, [*records[1:]], True
    return [f"column_{place + 1}" for place in range(len(first))], [*records], False


def _repeats(records: Sequence[list[str | None]]) -> bool:
    """Whether a value of the first record stands again in its column, in more than a header repeated."""
    return any(value and sum(record[place] == value for record in records[1:]) > 2 for place, value in enumerate(records[0]))


def _settings(dialect: Dialect, *, said: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if dialect.delimiter != b"," and not said:
        settings["delimiter"] = dialect.delimiter.decode()
    if dialect.quote != b'"':
        settings["quote"] = dialect.quote.decode()
    if dialect.escape:
        settings["escape"] = dialect.escape.decode()
    return settings
