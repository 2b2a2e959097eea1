"""A table out of its topic: the last readable record of each key is its row, unless that took the row away."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from topline.changes import UPSERT
from topline.cluster.spark.decoding import Reader
from topline.cluster.spark.session import DataFrame, F, SparkSession, StorageLevel, arrow_udf, translated
from topline.cluster.spark.topics import Input, Inputs
from topline.errors import WorkError
from topline.kafka.settings import KafkaSettings

SHOWN = 1000  # records that cannot be read, and rows that lack a value, that a table's report holds
_RAW = 64 * 1024  # bytes of such a record
_AT = "struct(partition, offset)"
_THERE = f"__op = {UPSERT}"


@dataclass(frozen=True, slots=True)
class Poison:
    """A record that cannot be read: the bytes of its value (of its key, where that is at fault), at most 64 KiB."""

    topic: str
    partition: int
    offset: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A row of which TOAST left columns out, and no earlier record that is still there has them: they are taken for NULL."""

    table: str
    key: Mapping[str, str | None]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """`rows`: in the declared columns. `records` were read, `unreadable` of them in vain (some are in `poison`); `keys` have
    a row; `newest`: when the last of them was committed at its source, in milliseconds since 1970, 0 where nobody said."""

    name: str
    rows: DataFrame
    records: int
    keys: int
    unreadable: int
    poison: tuple[Poison, ...]
    unknown: tuple[Unknown, ...]
    newest: int


class Tables:
    """Reads tables into `spark`."""

    def __init__(self, spark: SparkSession, inputs: Inputs, options: Mapping[str, str], root: Path) -> None:
        self._spark, self._inputs, self._options, self._root = spark, inputs, options, root

    def read(self, name: str) -> Table:
        """WorkError where Spark cannot, or where rows lack a column that is declared."""
        topic = _Topic(self._spark, self._inputs.tables[name], self._inputs.cluster, self._root, self._options)
        with translated(f"read table {name}"):
            return topic.table()


class _Topic:
    def __init__(
        self, spark: SparkSession, input_: Input, cluster: KafkaSettings, root: Path, options: Mapping[str, str]
    ) -> None:
        self._spark, self._input, self._options = spark, input_, options
        self._schema = input_.schema
        self._reader = Reader(cluster, root, input_.schema, input_.zone)
        self._keys = [f"__key{number}" for number in range(len(self._schema.key))]

    def table(self) -> Table:
        last = self._last().persist(StorageLevel.MEMORY_AND_DISK)
        [counts] = last.agg(
            F.expr("coalesce(sum(__records), 0)").alias("records"),
            F.expr("count_if(__reason IS NOT NULL)").alias("unreadable"),
            F.expr(f"count_if({_THERE})").alias("keys"),
            F.expr(f"count_if({_THERE} AND __unchanged <> 0)").alias("incomplete"),
            F.expr(f"coalesce(bit_or(CASE WHEN {_THERE} THEN __lacking END), 0)").alias("lacking"),
            F.expr("coalesce(max(__newest), 0)").alias("newest"),
        ).collect()
        self._require_columns(counts["lacking"])
        columns = [_column(name) for name in self._schema.names]
        rows = last.where(f"{_THERE} AND __unchanged = 0").select(*columns)
        unknown: tuple[Unknown, ...] = ()
        if counts["incomplete"]:
            filled = self._filled(last).persist(StorageLevel.MEMORY_AND_DISK)
            unknown = tuple(self._unknown(filled))
            rows = rows.unionByName(filled.select(*columns))
        poison = tuple(self._poison(last)) if counts["unreadable"] else ()
        figures = (counts["records"], counts["keys"], counts["unreadable"])
        return Table(self._schema.name, rows, *figures, poison, unknown, counts["newest"])

    def _records(self) -> DataFrame:
        """Every record up to the end, read: `last` holds its row, or the reason why it has none."""
        if self._input.is_empty:
            return self._spark.createDataFrame([], f"partition int, offset bigint, read {self._reader.ddl}, raw binary")
        source = self._spark.read.format("kafka").options(**self._options)
        source = source.option("assign", self._input.assigned).option("failOnDataLoss", "true")
        source = source.option("startingOffsets", self._input.starting).option("endingOffsets", self._input.ending)
        reader = self._reader

        def read(records: Iterator[tuple[pa.Array, pa.Array]]) -> Iterator[pa.Array]:
            return reader.batches(records)

        decode = arrow_udf(read, reader.ddl)
        raw = "CASE WHEN read.reason IS NOT NULL THEN substring(if(read.reason LIKE 'key: %', key, value), 1, {}) END AS raw"
        found = source.load().select("partition", "offset", "key", "value", decode("key", "value").alias("read"))
        return found.selectExpr("partition", "offset", "read", raw.format(_RAW))

    def _last(self) -> DataFrame:
        """One row a key, as its last record says; and one for each record that cannot be read."""
        by_key = [_of_row(name).alias(key) for name, key in zip(self._schema.key, self._keys, strict=True)]
        unreadable = F.expr(f"CASE WHEN read.reason IS NOT NULL THEN {_AT} END").alias("__unreadable")
        last = "max_by(struct(partition, offset, read.op, read.reason, read.unchanged, read.lacking, read.row, raw), {})"
        found = (
            self._records()
            .groupBy(*by_key, unreadable)
            .agg(
                F.expr(last.format(_AT)).alias("last"),
                F.expr("count(*)").alias("__records"),
                F.expr("max(read.time)").alias("__newest"),
            )
        )
        names = ("partition", "offset", "op", "reason", "unchanged", "lacking", "raw")
        own = [F.col("last")[name].alias(f"__{name}") for name in names]
        columns = [F.col("last.row")[name].alias(name) for name in self._schema.names]
        return found.select("__records", "__newest", *own, *columns)

    def _filled(self, last: DataFrame) -> DataFrame:
        """Rows that TOAST left values out of, these taken from the key's newest record since it was last gone that has them."""
        pairs = list(zip(self._schema.key, self._keys, strict=True))
        wanted = last.where(f"{_THERE} AND __unchanged <> 0").select(*(_column(name).alias(key) for name, key in pairs))
        history = self._records().where("read.reason IS NULL")
        history = history.select("*", *(_of_row(name).alias(key) for name, key in pairs))
        history = history.join(F.broadcast(wanted), self._keys, "left_semi")
        gone = f"max(CASE WHEN read.op <> {UPSERT} THEN {_AT} END) OVER (PARTITION BY {', '.join(self._keys)})"
        since = history.selectExpr("*", f"{gone} AS gone").where(f"gone IS NULL OR {_AT} > gone")
        columns = [_newest(number, name) for number, name in enumerate(self._schema.names)]
        known = [_is_known(number) for number in range(len(self._schema.names))]
        return since.groupBy(*self._keys).agg(*columns, F.array(*known).alias("__known"))

    def _unknown(self, filled: DataFrame) -> Iterator[Unknown]:
        lacking = filled.where("NOT forall(__known, one -> one)").limit(SHOWN)
        for row in lacking.select("__known", *(F.col(key).cast("string") for key in self._keys)).collect():
            columns = [name for name, known in zip(self._schema.names, row["__known"], strict=True) if not known]
            key = {name: row[key] for name, key in zip(self._schema.key, self._keys, strict=True)}
            yield Unknown(self._schema.name, key, tuple(columns))

    def _poison(self, last: DataFrame) -> Iterator[Poison]:
        found = last.where("__reason IS NOT NULL").select("__partition", "__offset", "__reason", "__raw")
        for row in found.orderBy("__partition", "__offset").limit(SHOWN).collect():
            raw = bytes(row["__raw"] or b"")
            yield Poison(self._input.topic.name, row["__partition"], row["__offset"], row["__reason"], raw)

    def _require_columns(self, lacking: int) -> None:
        names = [name for number, name in enumerate(self._schema.names) if lacking >> number & 1]
        if names:
            raise WorkError(
                f"table {self._schema.name}: rows in topic {self._input.topic.name} were written without {', '.join(names)}, "
                "which the models declare: what stands there is not known. Have the table copied to its topic again (a "
                "snapshot of Debezium's), or take the column out of the models' sources"
            )


def _column(name: str) -> Any:
    return F.col(f"`{name}`")


def _of_row(name: str) -> Any:
    return F.col("read.row")[name]


def _newest(number: int, name: str) -> Any:
    there = f"CASE WHEN read.unchanged & {1 << number} = 0 THEN {_AT} END"
    return F.expr(f"max_by(read.row.`{name}`, {there})").alias(name)


def _is_known(number: int) -> Any:
    return F.expr(f"count_if(read.unchanged & {1 << number} = 0) > 0")
