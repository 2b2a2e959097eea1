"""Shows how models are kept."""

from pathlib import Path

from topline.cli.opening import open_project
from topline.cli.output import out, print_json, print_table
from topline.errors import UsageError
from topline.live.start import load_plan
from topline.models import explain, render_explanation

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
    plan = load_plan(open_project(folder))
    if model not in plan.models:
        raise UsageError(f"no model is named {model!r}; there are {', '.join(plan.models)}")
    explanation = explain(plan, model)
    if as_json:
        print_json(explanation)
    else:
        out.print(render_explanation(explanation), markup=False)
