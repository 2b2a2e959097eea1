"""What a CSV file seems to be: its delimiter, quote, escape, comments, and whether its first record names the columns."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from topline.sources.files.quoted import Dialect, Splitter
from topline.sources.files.sniff_types import guess_column

_SEP = re.compile(r'"?sep=([^\r\n"]{1,4})"?[ \t]*(?:\r\n|\n|\r|$)', re.IGNORECASE)
_USUAL = (",", ";", "\t", "|", "~", "^", "¦", "§", "\x1f", "\x01")
_RUN = re.compile(r"[^\w\s\"'.,;:()\[\]/-]{2,5}")
_FEW, _RECORDS = 500, 5000
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

    def up_to(self, width: int) -> int:
        """How many records have no more fields than that."""
        return sum(len(record) <= width for record in self.records)

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
    if not lines:
        return None
    best = _best("\n".join(lines), said[1] if said else "")
    uncommented = _split("\n".join(line for line in lines if not line.startswith("#")), best.dialect)
    comment = bool(uncommented.records) and uncommented.share > best.share
    return _guess(uncommented if comment else best, {"comment": "#"} if comment else {}, said=bool(said))


def _guess(best: _Split, comment: dict[str, Any], *, said: bool) -> CsvGuess:
    first, width = best.records[0], best.width
    short = len(first) > width and best.up_to(len(first)) == len(best.records) and _are_names(first, best.regular)
    records = [[*record, *[None] * (len(first) - len(record))] for record in best.records] if short else best.regular
    names, rows, header = _names(records)
    settings = _settings(best.dialect, said=said) | comment | ({"short": "fill"} if short else {})
    settings |= {} if header else {"header": False}
    others = 0 if short else len(best.records) - len(best.regular)
    remark = (f"{others} of {len(best.records)} sampled records do not have {width} fields",) if others else ()
    return CsvGuess(settings, names, rows, remark)


def _best(text: str, said: str) -> _Split:
    """The dialect under which the most records have the same number of fields, and more than one."""
    delimiters = [said] if said else [*_runs(text), *(usual for usual in _USUAL if usual in text), ","]
    splits = [_split(text, Dialect(d.encode(), b'"', b"", _WIDEST), _FEW) for d in dict.fromkeys(delimiters)]
    best = max(splits, key=lambda split: (split.width > 1, round(split.share, 1), min(split.width, 3)))
    best = _split(text, best.dialect)
    if '"' not in text:
        return _split(text, replace(best.dialect, quote=b"'")) if _quoted(best) else best
    for quote, escape in [(b'"', b"\\")] * ('\\"' in text) + [(b"", b"")]:
        other = _split(text, Dialect(best.dialect.delimiter, quote, escape, _WIDEST))
        best = other if other.share > best.share else best
    return best


def _runs(text: str) -> list[str]:
    """Several signs together, whose first one never stands alone. Beside a value of signs they look longer than they are."""
    runs = [run for run, _ in Counter(_RUN.findall(text)).most_common(3)]
    return [run for run in runs if text.count(run[0]) == run.count(run[0]) * text.count(run)]


def _quoted(split: _Split) -> bool:
    fields = [value for record in split.regular for value in record if value]
    return sum(len(v) > 1 and v[0] == v[-1] == "'" for v in fields) * 20 > len(fields)


def _split(text: str, dialect: Dialect, most: int = _RECORDS) -> _Split:
    data, place, splitter = text.encode(), 0, Splitter(dialect)
    records: list[list[str | None]] = []
    while place < len(data) and len(records) < most:
        record = splitter.split(data, place, final=True)
        assert record is not None  # the end is final, so a record never goes on
        place = record.end
        records.append([None if value is None else value.decode() for value in record.fields] if not record.fault else [""])
    return _Split(dialect, records)


def _names(records: Sequence[list[str | None]]) -> tuple[list[str], list[list[str | None]], bool]:
    """The columns' names, the rows, and whether the first record names the columns."""
    first = records[0]
    if _are_names(first, records[1:]):
        return [(value or "").strip() for value in first], [*records[1:]], True
    return [f"column_{place + 1}" for place in range(len(first))], [*records], False


def _are_names(record: Sequence[str | None], others: Sequence[list[str | None]]) -> bool:
    """Distinct words, none of them a number or a time, none of them a value of its column in more than a header repeated."""
    known = [value.strip() for value in record if value and value.strip()]
    kinds = {guess_column("", "", [value]).kind for value in record}
    return len(set(known)) == len(known) and bool(known) and kinds == {"text"} and not _repeats(record, others)


def _repeats(record: Sequence[str | None], others: Sequence[list[str | None]]) -> bool:
    columns = [[other[place] for other in others if place < len(other)] for place in range(len(record))]
    return any(value and column.count(value) > 2 for value, column in zip(record, columns, strict=True))


def _settings(dialect: Dialect, *, said: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if dialect.delimiter != b"," and not said:
        settings["delimiter"] = dialect.delimiter.decode()
    if dialect.quote != b'"':
        settings["quote"] = dialect.quote.decode()
    if dialect.escape:
        settings["escape"] = dialect.escape.decode()
    return settings
