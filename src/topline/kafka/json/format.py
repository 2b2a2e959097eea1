"""Change events in JSON: as Debezium writes them without schemas, or with them (`payload` beside `schema`)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from topline.kafka.events import Column, Events, Rows, Wanted, faults_of
from topline.kafka.json.text import literal, quoted

Places = npt.NDArray[np.int64]
_WRAPPED = '{"schema":'  # how Connect's converter begins a record with its schema
_BARE = (
    f"CASE WHEN starts_with(text, '{_WRAPPED}') "
    "THEN json_extract(TRY_CAST(text AS JSON), '$.payload') ELSE TRY_CAST(text AS JSON) END"
)


class JsonFormat:
    """Not for several threads at once."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:", config={"threads": 1})

    def close(self) -> None:
        self._connection.close()

    def read(self, keys: Sequence[bytes | None], values: Sequence[bytes | None], wanted: Wanted) -> Events:
        events = Events()
        there = np.fromiter((value is not None for value in values), np.bool_, len(values))
        deleted, times = self._read(values, np.flatnonzero(there), wanted, events)
        gone = np.flatnonzero(~there)
        self._delete(
            keys, np.concatenate([deleted, gone]), np.concatenate([times, np.zeros(len(gone), np.int64)]), wanted, events
        )
        return events

    def _read(self, values: Sequence[bytes | None], places: Places, wanted: Wanted, events: Events) -> tuple[Places, Places]:
        """The rows that records at `places` bring; returns the places of those that take one away, and their times."""
        texts = self._texts(values, places, events, "")
        shape = f"STRUCT(op TEXT, after STRUCT({_fields(wanted.columns)}), source STRUCT({_fields(('ts_ms', *wanted.source))}))"
        paths = [f"after.{quoted(name)}" for name in wanted.columns] + [f"source.{quoted(name)}" for name in wanted.source]
        columns = ", ".join(f"event.{path}" for path in paths)
        found = self._ask(
            "SELECT place, json IS NOT NULL, event.op, event.after IS NOT NULL, "
            f"coalesce(TRY_CAST(event.source.ts_ms AS BIGINT), 0), {columns} "
            f"FROM (SELECT place, json, TRY_CAST(json AS {shape}) AS event FROM (SELECT place, {_BARE} AS json FROM texts))",
            texts,
        )
        at, is_json, operations, present, times = (found.column(number).combine_chunks() for number in range(5))
        at, times = at.to_numpy(), times.to_numpy()
        reasons = faults_of(operations, present.to_numpy(zero_copy_only=False))
        reasons |= dict.fromkeys(map(int, np.flatnonzero(~is_json.to_numpy(zero_copy_only=False))), "not JSON")
        events.faults.update({int(at[number]): reason for number, reason in reasons.items()})
        good = np.ones(len(at), np.bool_)
        good[list(reasons)] = False
        deletes = good & (operations.to_numpy(zero_copy_only=False) == "d")
        upserts = np.flatnonzero(good & ~deletes)
        if len(upserts):
            taken = [found.column(5 + number).combine_chunks().take(pa.array(upserts)) for number in range(len(paths))]
            rows = {name: Column(values_) for name, values_ in zip(wanted.columns, taken, strict=False)}
            source = dict(zip(wanted.source, taken[len(rows) :], strict=True))
            whole = Rows(at[upserts], np.zeros(len(upserts), np.bool_), rows, times[upserts], source)
            events.rows.extend(self._split(texts, whole))
        return at[deletes], times[deletes]

    def _split(self, texts: pa.Table, whole: Rows) -> Iterator[Rows]:
        """Rows by which columns they have at all: one that a record lacks is not NULL, its table has it no more."""
        lacking = self._lacking(texts, whole.places, whole.columns)
        for names in sorted(set(lacking.values()) | {()}):
            mine = np.array([lacking.get(place, ()) == names for place in whole.places.tolist()], np.bool_)
            if mine.any():
                some = whole.only(mine)
                yield replace(some, columns={name: column for name, column in some.columns.items() if name not in names})

    def _lacking(self, texts: pa.Table, places: Places, columns: dict[str, Column]) -> dict[int, tuple[str, ...]]:
        """Place -> the columns that the record there does not name. Only records with a NULL are looked at again."""
        lacking: dict[int, tuple[str, ...]] = {}
        for name, column in columns.items():
            if not column.values.null_count:
                continue
            empty = places[column.values.is_null().to_numpy(zero_copy_only=False)]
            some = texts.filter(pc.is_in(texts.column("place"), pa.array(empty)))
            path = "$.after." + '"' + name.replace('"', '\\"') + '"'
            found = self._ask(
                f"SELECT place FROM (SELECT place, {_BARE} AS json FROM texts) WHERE NOT json_exists(json, {literal(path)})",
                some,
            )
            for place in found.column(0).to_pylist():
                lacking[place] = (*lacking.get(place, ()), name)
        return lacking

    def _delete(self, keys: Sequence[bytes | None], places: Places, times: Places, wanted: Wanted, events: Events) -> None:
        texts = self._texts(keys, places, events, "key: ")
        columns = ", ".join(f"key.{quoted(name)}" for name in wanted.key)
        found = self._ask(
            f"SELECT place, key IS NOT NULL, {columns} "
            f"FROM (SELECT place, TRY_CAST(json AS STRUCT({_fields(wanted.key)})) AS key "
            f"FROM (SELECT place, {_BARE} AS json FROM texts))",
            texts,
        )
        at = found.column(0).to_numpy()
        whole = found.column(1).to_numpy(zero_copy_only=False).astype(np.bool_)
        rows = [found.column(2 + number).combine_chunks() for number in range(len(wanted.key))]
        for column in rows:
            whole &= ~column.is_null().to_numpy(zero_copy_only=False)
        reason = f"key: no JSON object with {', '.join(wanted.key)}"
        events.faults.update(dict.fromkeys(map(int, at[~whole]), reason))
        if whole.any():
            time_of = dict(zip(places.tolist(), times.tolist(), strict=True))
            kept = {name: Column(column.filter(pa.array(whole))) for name, column in zip(wanted.key, rows, strict=True)}
            ended = np.array([time_of[place] for place in at[whole].tolist()], np.int64)
            events.rows.append(Rows(at[whole], np.ones(int(whole.sum()), np.bool_), kept, ended))

    def _texts(self, records: Sequence[bytes | None], places: Iterable[int], events: Events, prefix: str) -> pa.Table:
        """The records that are text, with their places."""
        at: list[int] = []
        texts: list[str] = []
        for place in places:
            record = records[place]
            try:
                texts.append((record or b"").decode())
                at.append(int(place))
            except UnicodeDecodeError:
                events.faults[int(place)] = f"{prefix}no UTF-8"
        return pa.table({"place": pa.array(at, pa.int64()), "text": pa.array(texts, pa.string())})

    def _ask(self, sql: str, texts: pa.Table) -> pa.Table:
        self._connection.register("texts", texts)
        try:
            found: pa.Table = self._connection.sql(f"{sql} ORDER BY place").to_arrow_table()
        finally:
            self._connection.unregister("texts")
        return found


def _fields(names: Sequence[str]) -> str:
    return ", ".join(f"{quoted(name)} TEXT" for name in names)
