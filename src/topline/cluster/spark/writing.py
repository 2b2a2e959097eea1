"""What Spark computed, brought into the result tables: compared with what stands there, and only what differs is written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from topline.cluster.spark.session import DataFrame, F, StorageLevel, translated
from topline.errors import ConfigError, UsageError
from topline.models.plan import ModelPlan, ProjectPlan
from topline.results import Opened, Publisher, Replace, Whole, Within
from topline.schema import TableSchema, Type

ENGINE = "spark"
_AT_ONCE = 200_000  # rows that the driver holds at a time
_ANY = 2**62  # as the newest epoch: Spark keeps no state that could be an older copy
_DATE = "date"


@dataclass(frozen=True, slots=True)
class Dates:
    """The rows to write: those of these days, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    @property
    def within(self) -> Within:
        return Within(_DATE, self.first, self.last)


def require_dates(plan: ProjectPlan, models: tuple[str, ...]) -> None:
    """UsageError where a model has no date by which it could be written in part."""
    without = [name for name in models if not _has_date(plan.models[name])]
    if without:
        having = ", ".join(name for name, model in plan.models.items() if model.published and _has_date(model)) or "none"
        raise UsageError(
            f"--date: {', '.join(without)} has no column `date` of type DATE, so that it can be written whole only; select "
            f"models that have one ({having}), or leave --date out"
        )


def _has_date(model: ModelPlan) -> bool:
    return any(column.name == _DATE and column.type is Type.DATE for column in model.schema.columns)


def opened(publisher: Publisher, plan: ProjectPlan, *, take_over: bool) -> Opened:
    """Become the writer. FencedError where another engine, or another project, is; StateError where it runs now."""
    return publisher.open(plan.models, epoch=_ANY, published=dict.fromkeys(plan.models, 1), take_over=take_over)


class Computed:
    """A model's rows, kept by Spark; in chunks that the driver fetches one after the other, as often as it is asked."""

    def __init__(self, model: ModelPlan, rows: DataFrame, dates: Dates | None) -> None:
        self._model = model
        self._rows = rows if dates is None else rows.where(_during(dates))
        self._rows = self._rows.persist(StorageLevel.MEMORY_AND_DISK)
        with translated(f"compute model {model.name}"):
            self.count = int(self._rows.count())

    def __iter__(self) -> Iterator[pa.Table]:
        parts = 1 + self.count // _AT_ONCE
        part = F.pmod(F.xxhash64(*(F.col(f"`{name}`") for name in self._model.schema.key)), F.lit(parts))
        for number in range(parts):
            with translated(f"fetch model {self._model.name}"):
                found = self._rows if parts == 1 else self._rows.where(part == number)
                yield in_types(found.toArrow(), self._model.schema)


def _during(dates: Dates) -> str:
    return f"`{_DATE}` BETWEEN DATE'{dates.first}' AND DATE'{dates.last}'"


def in_types(rows: pa.Table, schema: TableSchema) -> pa.Table:
    """What Spark gives, in the types of a result table."""
    arrays = [column.cast(field.type) for column, field in zip(rows.columns, schema.arrow, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema.arrow)


def changes(found: Mapping[str, Computed], opened: Opened, dates: Dates | None) -> dict[str, Whole | Replace]:
    """Model -> what to publish. ConfigError where days are to be written into a table that is not this engine's yet."""
    if dates is None:
        return {name: Replace(rows) if name in opened.must_republish else Whole(rows) for name, rows in found.items()}
    foreign = [name for name in found if name in opened.must_republish and opened.published_epoch[name]]
    if foreign:
        raise ConfigError(
            f"--date: the table of {', '.join(foreign)} was written from another version of the model, or by another engine: "
            "it must be written whole once, without --date"
        )
    return {name: Whole(rows, dates.within) for name, rows in found.items()}
