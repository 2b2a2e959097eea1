"""Shows how models are kept."""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from topline.cli.opening import open_project
from topline.cli.output import out, print_json, print_table
from topline.config import Project
from topline.errors import UsageError
from topline.live.asking import running_engine
from topline.live.pruning import behind, physical
from topline.live.start import databases, load_plan
from topline.models import explain, render_explanation
from topline.models.explanation import describe
from topline.models.plan import ProjectPlan
from topline.results.overview import read_overview

_COLUMNS = ("model", "key", "published", "description")


def show_models(folder: Path, *, as_json: bool) -> None:
    models = load_plan(open_project(folder)).models.values()
    if as_json:
        print_json([dict(zip(_COLUMNS, (m.name, m.schema.key, m.published, m.description), strict=True)) for m in models])
    else:
        rows = [(m.name, ", ".join(m.schema.key), "yes" if m.published else "", m.description) for m in models]
        print_table("", _COLUMNS, rows)


def show_model(folder: Path, model: str, *, as_json: bool) -> None:
    """Plan, key, lineage and SQL of one model. UsageError where there is none of that name."""
    project = open_project(folder)
    plan = load_plan(project)
    if model not in plan.models:
        raise UsageError(f"no model is named {model!r}; there are {', '.join(plan.models)}")
    explanation, steps = explain(plan, model), kept(project, plan, model)
    if as_json:
        print_json({**asdict(explanation), "state": [step._asdict() for step in steps]})
        return
    out.print(render_explanation(explanation), markup=False)
    if steps:
        rows = [(step.step, step.text, f"{step.rows:,}", f"{step.bytes:,}", f"{step.rows_read:,}") for step in steps]
        print_table("as the running engine folds it", ("step", "what it does", "rows kept", "bytes", "rows read"), rows)


class Kept(NamedTuple):
    """A step as it is folded (columns that nobody reads are left out): what it keeps, and has read since the start."""

    step: str
    text: str
    rows: int
    bytes: int
    rows_read: int


def kept(project: Project, plan: ProjectPlan, model: str) -> list[Kept]:
    """The steps behind a model with their state, inputs first; none where no engine runs."""
    if running_engine(project.state_dir) is None:
        return []
    with databases(project) as real:
        overview = read_overview(real(project.config.results.dsn), project.config.results.schema_)
    sizes = {size[0]: size[1:] for size in overview.details.get("state", [])} if overview else {}
    nodes, roots = physical(plan)
    wanted = {id(node) for node in behind([roots[model]])}
    steps = [(f"{type(node).__name__.lower()} {number}", node) for number, node in enumerate(nodes) if id(node) in wanted]
    return [Kept(name, describe(node), *sizes[name]) for name, node in steps if name in sizes]
