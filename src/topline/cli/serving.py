"""Serves the API without an engine."""

import signal
from pathlib import Path

from topline.api import create_app, serve
from topline.cli.opening import open_project
from topline.cli.output import err, out, print_json
from topline.cli.running import Stop
from topline.config import Project
from topline.live.start import databases, load_plan
from topline.models.plan import ProjectPlan
from topline.results import Reader
from topline.sources.push import Intake, intakes
from topline.sources.registry import build


def serve_api(folder: Path, overrides: list[str] | None, *, as_json: bool) -> int:
    """Until a signal; the exit code is 130 after Ctrl-C. With `as_json` the address is one JSON document."""
    project = open_project(folder, overrides)
    with Stop().on_signals() as stop, databases(project) as real:
        results = project.config.results
        replicas = [real(dsn) for dsn in results.replicas]
        plan = load_plan(project)
        reader = Reader(real(results.dsn), results.schema_, replicas=replicas).open()
        taken = _intakes(project, plan)
        app = create_app(reader, project.zone, plan=plan, intakes=taken)
        with serve(app, project.config.api.host, project.config.api.port) as server:
            if as_json:
                print_json({"url": server.url})
                out.file.flush()
            else:
                err.print(f"serving {server.url} until stopped", markup=False)
            while not stop.wait(1.0):
                pass
        for intake in taken:
            intake.close()
        reader.close()
    return 130 if stop.signal == signal.SIGINT else 0


def _intakes(project: Project, plan: ProjectPlan) -> list[Intake]:
    """The tables that may be sent to. Of the sources, only those that take what is sent are made: others are the engine's."""
    config = project.config
    chosen = {name: settings for name, settings in config.sources.items() if settings.get("kind") == "push"}
    if not chosen:
        return []
    alone = Project(project.root, config.model_copy(update={"sources": chosen}), project.lines, project.environment)
    tables = {name: schema for name, schema in plan.tables.items() if name.partition(".")[0] in chosen}
    return intakes(build(alone, tables, embedded=lambda _setting, name: name))
