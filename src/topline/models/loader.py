"""Loads the project: reads, renders, plans, fuses, and describes every live model. All faults are raised together."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlglot import exp

from topline.errors import ModelError
from topline.models import functions
from topline.models.dialects import DIALECTS, OWN, Dialect
from topline.models.faults import ModelErrors, Place
from topline.models.fusion import fused
from topline.models.graph import Graph, topological
from topline.models.jinja import Renderer
from topline.models.lineage import Lineages
from topline.models.plan import ModelPlan, Node, ProjectPlan, Scan
from topline.models.planner import Planner, parse
from topline.models.project import DbtProject, ModelFile, key_of, read_project
from topline.models.typer import Typer
from topline.schema import TableSchema


@dataclass(frozen=True, slots=True)
class Draft:
    """A model between rendering and its place in the plan. `sql` is by dialect."""

    file: ModelFile
    meta: Mapping[str, Any]
    sql: Mapping[Dialect, str]
    depends_on: tuple[str, ...]


def load(models_dir: Path, *, name: str, time_zone: str, currency: str, vars: Mapping[str, object]) -> ProjectPlan:
    """The plan of the dbt project in `models_dir`.

    `vars` win over dbt_project.yml's; `time_zone` and `currency` are vars too, and win over both. ModelErrors lists every
    fault with file, line and remedy.
    """
    project = read_project(models_dir)
    variables = {**project.vars, **vars, "time_zone": time_zone, "currency": currency}
    faults: list[ModelError] = []
    drafts = _drafts(project, variables, faults)
    graph = Graph()
    scans: dict[str, Node] = {table: scan(graph, schema) for table, schema in project.tables.items()}
    roots = _roots(drafts, scans, Planner(graph, Typer()), faults)
    keys = {model: key for model in roots if (key := _key(drafts[model], roots[model], faults)) is not None}
    if faults:
        raise ModelErrors(faults)
    return assemble(Meaning(name, time_zone, currency), project.tables, drafts, roots, keys, graph)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a project's fingerprint covers beside its models."""

    name: str
    time_zone: str
    currency: str


def scan(graph: Graph, schema: TableSchema) -> Node:
    return graph.add(Scan(columns=schema.columns, key=schema.key, table=schema.name))


def _drafts(project: DbtProject, variables: Mapping[str, object], faults: list[ModelError]) -> dict[str, Draft]:
    """The models in topological order, rendered; those that do not render become faults."""
    renderers = {dialect: Renderer(project, dialect, variables) for dialect in DIALECTS}
    drafts: dict[str, Draft] = {}
    for file in project.models.values():
        try:
            rendered = {dialect: renderers[dialect].render(file) for dialect in OWN}
        except ModelError as error:
            faults.append(error)
            continue
        first = rendered["duckdb"]
        meta = {**file.meta, **(first.config.get("meta") or {})}
        depends = tuple(dict.fromkeys([*first.refs, *first.sources]))
        sql = {dialect: one.sql.rstrip() for dialect, one in rendered.items()}
        drafts[file.name] = Draft(file, meta, {**sql, **dict(_elsewhere(file, renderers))}, depends)
    return _sorted(drafts, faults)


def _elsewhere(file: ModelFile, renderers: Mapping[Dialect, Renderer]) -> Iterator[tuple[Dialect, str]]:
    """The model for the engines that Topline does not run itself: what it lacks there stops nothing."""
    for dialect in DIALECTS:
        if dialect not in OWN:
            try:
                yield dialect, renderers[dialect].render(file).sql.strip()
            except ModelError as error:
                yield dialect, f"-- {error}"


def _sorted(drafts: dict[str, Draft], faults: list[ModelError]) -> dict[str, Draft]:
    done: dict[str, Draft] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done or name not in drafts:
            return
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            faults.append(ModelError(f"models read each other in a circle: {circle}", path=drafts[name].file.path, line=1))
            return
        path.append(name)
        for dependency in drafts[name].depends_on:
            visit(dependency)
        path.pop()
        done[name] = drafts[name]

    for name in sorted(drafts):
        visit(name)
    return done


def _roots(drafts: dict[str, Draft], scans: Mapping[str, Node], planner: Planner, faults: list[ModelError]) -> dict[str, Node]:
    """Each model's root. A model that reads a faulty one is passed over: its turn comes when that is mended."""
    roots: dict[str, Node] = {}
    for name, draft in drafts.items():
        relations = {d: found for d in draft.depends_on if (found := scans.get(d) or roots.get(d)) is not None}
        if len(relations) < len(draft.depends_on):
            continue
        try:
            place = Place(draft.file.path)
            roots[name] = planner.plan(draft.sql["duckdb"], relations, place)
            _same_null_order(draft, place)
        except ModelErrors as error:
            faults.extend(error.faults)
        except ModelError as error:
            faults.append(error)
    return roots


def _same_null_order(draft: Draft, place: Place) -> None:
    try:
        other = parse(draft.sql["postgres"], "postgres", place)
    except ModelError:
        return  # live only: there is no PostgreSQL to differ from
    first = parse(draft.sql["duckdb"], "duckdb", place)
    for a, b in zip(first.find_all(exp.Ordered), other.find_all(exp.Ordered), strict=False):
        if bool(a.args.get("nulls_first")) != bool(b.args.get("nulls_first")):
            raise place.fault("databases place NULLs differently", a, hint="write NULLS LAST (or NULLS FIRST)")


def _key(draft: Draft, root: Node, faults: list[ModelError]) -> tuple[str, ...] | None:
    """The declared key, else the derived one; () where an unpublished model has none; None after a fault."""
    try:
        declared = key_of(f"model {draft.file.name}", draft.meta)
    except ModelError as error:
        faults.append(ModelError(str(error), path=draft.file.path, line=1))
        return None
    names = {column.name for column in root.columns}
    if strangers := [part for part in declared if part not in names]:
        message = f"the declared key names {', '.join(strangers)}, which the model does not yield"
        faults.append(ModelError(message, path=draft.file.path, line=1, hint=f"it yields {', '.join(sorted(names))}"))
        return None
    if not declared and root.key is None and draft.meta.get("publish", True):
        hint = "declare it in the YAML (config: {meta: {key: [..]}}), GROUP BY it, or set meta: {publish: false}"
        message = "a published model needs a key, and none follows from its SQL"
        faults.append(ModelError(message, path=draft.file.path, line=1, hint=hint))
        return None
    return declared or root.key or ()


def assemble(
    meaning: Meaning, tables: Mapping[str, TableSchema], drafts: Mapping[str, Draft],
    roots: Mapping[str, Node], keys: Mapping[str, tuple[str, ...]], graph: Graph,
) -> ProjectPlan:  # fmt: skip
    """The frozen plan: nodes fused, lineage and fingerprints computed."""
    places = fused(roots.values(), graph)
    final = {name: places[id(root)] for name, root in roots.items()}
    lineages = Lineages(final.values())
    models = {name: _model(drafts[name], final[name], keys[name], lineages, graph) for name in drafts}
    used = {node.table: tables[node.table] for node in topological(final.values()) if isinstance(node, Scan)}
    shown = {name: tables[name] for name in sorted(used)}
    digest = _sha256(meaning, [(m.name, m.fingerprint) for m in models.values()], list(shown.values()))
    return ProjectPlan(meaning.name, meaning.time_zone, shown, models, topological(final.values()), digest)


def _model(draft: Draft, root: Node, key: tuple[str, ...], lineages: Lineages, graph: Graph) -> ModelPlan:
    schema = TableSchema(draft.file.name, root.columns, key)
    published = bool(draft.meta.get("publish", True))
    return ModelPlan(
        name=draft.file.name,
        path=draft.file.path,
        description=draft.file.description,
        root=root,
        schema=schema,
        published=published,
        sql_duckdb=draft.sql["duckdb"],
        sql_postgres=draft.sql["postgres"],
        depends_on=draft.depends_on,
        lineage=lineages.of(root),
        indexes=tuple(tuple(index) for index in draft.meta.get("indexes") or ()),
        column_descriptions=dict(draft.file.columns),
        sql_elsewhere={dialect: sql for dialect, sql in draft.sql.items() if dialect not in OWN},
        live_only="; ".join(live_only(draft.sql["postgres"])),
        fingerprint=_sha256(graph.digest(root), schema, published),
    )


def live_only(sql_postgres: str) -> Iterator[str]:
    """Why a model's SQL does not run elsewhere: what its PostgreSQL rendering holds that only DuckDB has."""
    try:
        tree = parse(sql_postgres, "postgres", Place("model"))
    except ModelError as error:
        yield str(error)
        return
    if tree.find(exp.Qualify):
        yield "QUALIFY is not portable"
    foreign = functions.DUCKDB_ONLY - functions.OWN_IN_POSTGRES
    for name in sorted({functions.name_of(node) for node in tree.walk() if type(node) in foreign}):
        yield f"{name} is not portable"


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
