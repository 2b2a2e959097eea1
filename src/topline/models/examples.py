"""Unit tests of models: the `unit_tests:` of the project's YAML (dbt's own format), read for `topline test`."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from topline.errors import ModelError
from topline.models.faults import ModelErrors, line_of_text
from topline.models.plan import ProjectPlan
from topline.models.project import read_project
from topline.schema import TableSchema

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class UnitTest:
    """One example: with the rows `given` (relation -> rows), `model` yields `expect`, in any order.

    Values are as the YAML or CSV has them (a CSV cell is text, an empty one None); columns that a given row leaves out are
    NULL, and an expected row is compared on the columns that it names.
    """

    name: str
    model: str
    given: Mapping[str, Sequence[Row]]
    expect: Sequence[Row]
    path: str
    line: int


def unit_tests(models_dir: Path, plan: ProjectPlan) -> list[UnitTest]:
    """The unit tests of the project, in the order of their names. ModelErrors lists every fault of theirs."""
    faults: list[ModelError] = []
    tests: list[UnitTest] = []
    for path, entry in read_project(models_dir).unit_tests:
        text = (models_dir / path).read_text(encoding="utf-8")
        try:
            tests.append(_test(plan, path, line_of_text(text, f"name: {entry.get('name')}"), entry))
        except ModelError as error:
            faults.append(error)
    if faults:
        raise ModelErrors(faults)
    return sorted(tests, key=lambda test: test.name)


def _test(plan: ProjectPlan, path: str, line: int, entry: Mapping[str, Any]) -> UnitTest:
    name, model = str(entry.get("name")), str(entry.get("model"))
    try:
        if model not in plan.models:
            raise ModelError(f"there is no model {model!r}")
        given = {_relation(item["input"]): _rows(item) for item in entry.get("given") or []}
        _check_given(plan, model, given)
        expect = _rows(entry.get("expect") or {})
        _check_columns("expect", expect, plan.models[model].schema)
    except (ModelError, KeyError) as error:
        raise ModelError(f"unit test {name}: {error}", path=path, line=line) from None
    return UnitTest(name, model, given, expect, path, line)


def _relation(text: str) -> str:
    """`ref('x')` -> x, `source('s', 't')` -> s.t."""
    names = {"ref": lambda *parts: str(parts[-1]), "source": lambda source, table: f"{source}.{table}"}
    return Environment().from_string("{{ " + text + " }}").render(names)


def _rows(entry: Mapping[str, Any]) -> Sequence[Row]:
    form, rows = entry.get("format", "dict"), entry.get("rows")
    if form == "csv":
        return [{k.strip(): _cell(v) for k, v in row.items()} for row in csv.DictReader(io.StringIO((rows or "").strip()))]
    if form != "dict":
        raise ModelError(f"format {form!r}; allowed: dict, csv")
    return [dict(row) for row in rows or []]


def _cell(text: str | None) -> str | None:
    return text.strip() or None if text is not None else None


def _check_given(plan: ProjectPlan, model: str, given: Mapping[str, Sequence[Row]]) -> None:
    read = plan.models[model].depends_on
    if missing := [name for name in read if name not in given]:
        raise ModelError(f"{model} also reads {', '.join(missing)}; give it, with `rows: []` if it is empty")
    for relation, rows in given.items():
        if relation not in read:
            raise ModelError(f"{model} does not read {relation}; it reads {', '.join(read)}")
        _check_columns(relation, rows, schema_of(plan, relation))


def _check_columns(where: str, rows: Sequence[Row], schema: TableSchema) -> None:
    if strangers := sorted({column for row in rows for column in row} - set(schema.names)):
        raise ModelError(f"{where}: no column {', '.join(strangers)}; there are {', '.join(schema.names)}")


def schema_of(plan: ProjectPlan, relation: str) -> TableSchema:
    """The columns and key of a table or model of the plan."""
    return plan.models[relation].schema if relation in plan.models else plan.tables[relation]
