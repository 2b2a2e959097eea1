"""What the engine says of itself: its sources, and what could not be read."""

from topline.results.questions.places import within
from topline.results.questions.question import Listing, Order
from topline.schema import Column, Type

SOURCE = (
    Column("source", Type.TEXT),
    Column("kind", Type.TEXT),
    Column("state", Type.TEXT),
    Column("phase", Type.TEXT),
    Column("detail", Type.TEXT),
    Column("last_error", Type.TEXT),
    Column("lag_bytes", Type.BIGINT),
    Column("time", Type.TIMESTAMPTZ),
    Column("published_time", Type.TIMESTAMPTZ),
    Column("rows", Type.BIGINT),
    Column("rejected", Type.BIGINT),
    Column("dead_letters", Type.BIGINT),
)
LETTER = (
    Column("id", Type.BIGINT),
    Column("source", Type.TEXT),
    Column("table", Type.TEXT),
    Column("locator", Type.TEXT),
    Column("reason", Type.TEXT),
    Column("time", Type.TIMESTAMPTZ),
    Column("state", Type.TEXT),
    Column("bytes", Type.BIGINT),
)
_LETTERS = {"letters": "_topline_dead_letters"}
_NEWEST = (Order("id", descending=True),)


def sources() -> Listing:
    """Each source as it was last told of, by name. `extra`: when the engine spoke last, and how long ago that is."""
    return Listing(
        models=(),
        tables={"status": "_topline_source_status", "positions": "_topline_sources", "engine": "_topline_engine"},
        columns=SOURCE,
        order=(Order("source"),),
        relation="SELECT s.*, p.time AS published_time FROM {status} s LEFT JOIN {positions} p USING (source)",
        extra=_SPOKE,
    )


def published() -> Listing:
    """No rows; `extra` has the epoch of each model, 0 where it was not published yet."""
    return Listing(
        models=(),
        tables={"registered": "_topline_models"},
        columns=(Column("model", Type.TEXT),),
        order=(Order("model"),),
        relation="SELECT model FROM {registered} WHERE false",
        extra="(SELECT json_object_agg(model, epoch) FROM {registered} WHERE NOT retired)",
    )


def dead_letters(source: str | None = None, table: str | None = None, state: str | None = None) -> Listing:
    """The newest first, without their bytes."""
    only = within(None, source=source, table=table, state=state)
    return Listing(
        models=(),
        tables=_LETTERS,
        columns=LETTER,
        order=_NEWEST,
        relation="SELECT *, raw_bytes AS bytes FROM {letters} WHERE {only}",
        values=only.values,
        parts={"only": only.text},
    )


def dead_letter(number: int) -> Listing:
    """One, whole: `raw` are its bytes in base64, up to what the mirror keeps."""
    return Listing(
        models=(),
        tables=_LETTERS,
        columns=(*LETTER, Column("raw", Type.TEXT)),
        order=_NEWEST,
        relation="SELECT *, raw_bytes AS bytes FROM {letters} WHERE id = %(number)s",
        values={"number": number},
        shown={"raw": r"replace(encode(t.raw, 'base64'), E'\n', '')"},
    )


_SPOKE = """
(SELECT json_build_object('heartbeat', heartbeat, 'age', extract(epoch FROM clock_timestamp() - heartbeat)::float8)
 FROM {engine})
"""
