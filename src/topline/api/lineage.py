"""The project's plan as a picture needs it: tables, models and results, with columns and what they are made of."""

import threading

from topline.answers import ColumnAnswer, Lineage, LineageColumn, LineageModel, LineageTable, Origin
from topline.models.lineage import step_back
from topline.models.plan import ModelPlan, ProjectPlan
from topline.schema import TableSchema


class Drawing:
    """Made when it is first asked for: the plan is the process's own, and stays."""

    KIND = Lineage

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._body: bytes | None = None

    def body(self, plan: ProjectPlan | None, schema: str) -> bytes:
        with self._lock:
            if self._body is None:
                self._body = drawn(plan, schema).model_dump_json().encode()
            return self._body


def drawn(plan: ProjectPlan | None, schema: str) -> Lineage:
    """`schema`: where results are tables."""
    if plan is None:
        return Lineage(tables=[], models=[])
    origins = step_back(plan)
    return Lineage(
        tables=[_table(table) for table in plan.tables.values()],
        models=[_model(model, origins[model.name], schema) for model in plan.models.values()],
    )


def _table(table: TableSchema) -> LineageTable:
    columns = [ColumnAnswer(name=column.name, type=column.type.value, description="") for column in table.columns]
    return LineageTable(name=table.name, source=table.name.partition(".")[0], key=list(table.key), columns=columns)


def _model(model: ModelPlan, origins: dict[str, list[tuple[str, str]]], schema: str) -> LineageModel:
    notes = model.column_descriptions
    columns = [
        LineageColumn(
            name=column.name,
            type=column.type.value,
            description=notes.get(column.name, ""),
            origins=[Origin(relation=relation, column=name) for relation, name in origins[column.name]],
        )
        for column in model.schema.columns
    ]
    return LineageModel(
        name=model.name,
        path=model.path,
        description=model.description,
        published=model.published,
        result=f"{schema}.{model.name}" if model.published else None,
        key=list(model.schema.key),
        depends_on=list(model.depends_on),
        columns=columns,
        sql=model.sql_postgres.strip(),
    )
