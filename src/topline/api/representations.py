"""The forms in which rows are answered: JSON, CSV (RFC 4180) and Parquet, as `Accept` asks (RFC 9110, 12.5.1)."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from topline.api.problems import ProblemError
from topline.api.values import typed
from topline.schema import Column, Type

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
TABULAR = (JSON, CSV, PARQUET)
CONTENT_TYPES = {JSON: JSON, CSV: "text/csv; charset=utf-8; header=present", PARQUET: PARQUET}
_QUOTED = frozenset('",\r\n')

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """One part of an `Accept`: `text/*;q=0.5`."""

    kind: str
    quality: float

    def rank(self, media: str) -> int:
        """How exactly it names `media`; 0: not at all."""
        main = media.partition("/")[0]
        return {media: 3, f"{main}/*": 2, "*/*": 1}.get(self.kind, 0)


@lru_cache(maxsize=256)
def chosen(accept: str, offered: tuple[str, ...]) -> str | None:
    """Which of `offered` is wanted most, the first of equals; None where none is."""
    wishes = [_wish(part) for part in accept.split(",") if part.strip()]
    if not wishes:
        return offered[0]
    best = max(offered, key=lambda media: _quality(media, wishes))
    return best if _quality(best, wishes) > 0 else None


def require(accept: str, offered: tuple[str, ...]) -> str:
    """406 where nothing that is offered is wanted."""
    media = chosen(accept, offered)
    if media is None:
        detail = f"Accept: {accept[:200]!r} wants none of what there is here: {', '.join(offered)}"
        raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, detail)
    return media


def _wish(part: str) -> Wish:
    kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return Wish(kind, float(quality))
    except ValueError:
        return Wish(kind, 0.0)


def _quality(media: str, wishes: Sequence[Wish]) -> float:
    rank, quality = max((wish.rank(media), wish.quality) for wish in wishes)
    return quality if rank else 0.0


def written(media: str, columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """The rows as a table; of JSON the whole answer is made elsewhere."""
    return _WRITERS[media](columns, rows)


def _csv(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """With a header. NULL is nothing, an empty text is quoted."""
    lines = [",".join(_cell(column.name) for column in columns)]
    lines += [",".join(_cell(row[column.name]) for column in columns) for row in rows]
    return ("\r\n".join(lines) + "\r\n").encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if text and not _QUOTED.intersection(text) else '"' + text.replace('"', '""') + '"'


def _parquet(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    schema = pa.schema([(column.name, column.type.arrow) for column in columns])
    try:
        table = pa.table([pa.array(_typed(column, rows), column.type.arrow) for column in columns], schema=schema)
    except pa.ArrowInvalid as error:
        detail = (
            f"Accept: {PARQUET} holds money as DECIMAL(18,4), and a total is beyond that ({error}); ask for {JSON} or {CSV}"
        )
        raise ProblemError(HTTPStatus.NOT_ACCEPTABLE, detail) from None
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _typed(column: Column, rows: Sequence[Row]) -> Iterator[Any]:
    """JSON's values as Arrow takes them."""
    as_it_is = column.type in (Type.TEXT, Type.BIGINT, Type.BOOLEAN)
    for row in rows:
        value = row[column.name]
        yield value if value is None or as_it_is else typed(column.type, value)


_WRITERS: dict[str, Callable[[Sequence[Column], Sequence[Row]], bytes]] = {CSV: _csv, PARQUET: _parquet}
