"""A plan of one model alone, in which the models that it reads are tables: what unit tests run on."""

from dataclasses import replace

from topline.errors import ModelError
from topline.models.examples import schema_of
from topline.models.faults import Place
from topline.models.fusion import fused
from topline.models.graph import Graph, topological
from topline.models.lineage import Lineages
from topline.models.plan import ProjectPlan, Scan
from topline.models.planner import Planner
from topline.models.typer import Typer
from topline.schema import TableSchema


def subplan(plan: ProjectPlan, model: str) -> ProjectPlan:
    """`model` alone, published; `tables` are what it reads, under the same names (`source.table` or the model's)."""
    chosen = plan.models[model]
    tables = {name: _keyed(schema_of(plan, name)) for name in chosen.depends_on}
    graph = Graph()
    scans = {name: graph.add(Scan(columns=t.columns, key=t.key, table=name)) for name, t in tables.items()}
    planned = Planner(graph, Typer()).plan(chosen.sql_duckdb, scans, Place(chosen.path))
    root = fused([planned], graph)[id(planned)]
    alone = replace(
        chosen, root=root, schema=_keyed(chosen.schema), published=True, lineage=Lineages([root]).of(root),
        fingerprint=graph.digest(root),
    )  # fmt: skip
    fingerprint = f"{graph.digest(root)}:{alone.schema.key}"
    return ProjectPlan(plan.name, plan.time_zone, tables, {model: alone}, topological([root]), fingerprint)


def _keyed(schema: TableSchema) -> TableSchema:
    if not schema.key:
        raise ModelError(
            f"model {schema.name} has no key, so its rows cannot be told apart",
            hint="declare it in the YAML: config: {meta: {key: [..]}}",
        )
    return schema
