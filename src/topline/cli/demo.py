"""`topline demo`: the whole on this machine, and the proof at its end; `topline generate`: its stream of sales by itself."""

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from topline.cli.inspect import print_audit, run_audit
from topline.cli.options import HERE, AsJson, Overrides, ProjectDir, open_project
from topline.cli.output import err, out, print_json
from topline.cli.project import init
from topline.cli.running import Session, Stop, session
from topline.cli.watching import final_rankings, rebuild_progress, watched
from topline.config import CONFIG_FILE, Project
from topline.embedded import EmbeddedPostgres
from topline.errors import ConfigError, UsageError
from topline.generate import Generator, Options, compare
from topline.live.asking import running_engine
from topline.live.start import databases

LEDGER = "embedded:ledger"
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}

Rate = Annotated[float, typer.Option(min=0.1, max=100_000, help="Steps a second: sales, corrections, cancellations ...")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same sales.")]
Duration = Annotated[str | None, typer.Option(metavar="TIME", help="Stop by itself after this time, such as 30s or 5m.")]


def register(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(generate)


def demo(
    duration: Duration = None,
    folder: Annotated[Path, typer.Option("--dir", help="The demo's project; made anew at each start.")] = Path(".demo"),
    rate: Rate = 40.0,
    seed: Seed = 7,
    port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 8787,
) -> None:
    """Run the whole on this machine: a shop's database, branches' files, rankings that move. Ctrl-C stops it.

    With `--duration` it stops by itself and proves its result. Example: `topline demo --duration 30s`
    """
    seconds = None if duration is None else parse_duration(duration)
    project = _fresh_project(folder, port)
    with Stop().on_signals() as stop, databases(project) as real:
        generator = _generator(project, real, rate, seed, seconds)
        err.print("filling the shop and the inbox with a history of sales", markup=False)
        generator.prepare()
        equal = _run(project, generator, stop, real) if seconds else _run_open_end(project, generator, stop)
    if stop.signal:
        raise typer.Exit(128 + stop.signal)
    if not equal:
        raise typer.Exit(1)


def _run_open_end(project: Project, generator: Generator, stop: Stop) -> bool:
    with _engine(project) as running:
        generator.start()
        try:
            with watched(running):
                running.run(stop)
        finally:
            generator.stop()
    out.print("stopped", markup=False)
    return True


def _run(project: Project, generator: Generator, stop: Stop, real: Callable[[str], str]) -> bool:
    """Until the generator is done; then a second engine takes up where the first stood, to the very end, and is audited."""
    with _engine(project) as running:
        generator.start()
        with watched(running):
            running.run(lambda: stop() or not generator.running)
        generator.stop()
    if stop():
        return True
    with _engine(project) as running:
        running.run(stop, until_idle=True)
        running.require_healthy()
        final_rankings(running)
        _print_kinds(generator)
        return _proven(project, running, real)


def _proven(project: Project, running: Session, real: Callable[[str], str]) -> bool:
    compared = list(run_audit(project, running.started.plan))
    out.print("\naudit: PostgreSQL against the models' SQL, run from scratch over the log", markup=False)
    print_audit(compared)
    config = project.config
    differences = compare(real(LEDGER), running.started.results_dsn, config.results.schema_, config.time_zone)
    out.print("\nledger: PostgreSQL against the generator's own book, recomputed by PostgreSQL", markup=False)
    for model, found in differences.items():
        out.print(f"{model}: {'DIFFERS' if found else 'equal'}", markup=False)
        for line in found:
            out.print(f"  {line}", markup=False)
    return all(one.equal for one in compared) and not any(differences.values())


def _print_kinds(generator: Generator) -> None:
    for source, kinds in generator.kinds().items():
        shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        out.print(f"{source}: {shown}", markup=False)


@contextmanager
def _engine(project: Project) -> Iterator[Session]:
    with rebuild_progress() as on_rebuild, session(project, on_rebuild=on_rebuild) as running:
        on_rebuild.done()
        yield running


def _fresh_project(folder: Path, port: int) -> Project:
    """The shipped project, copied; the one of an earlier demo goes first (another folder is never touched)."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / ".demo").is_file():
            raise UsageError(f"{folder} exists and is not an earlier demo: name a new folder with --dir")
        _remove(folder)
    init(folder)
    (folder / ".demo").write_text("Made by `topline demo`, which removes this folder at its next start.\n")
    return open_project(folder, [f"api.port={port}"])


def _remove(folder: Path) -> None:
    found = running_engine(folder / ".topline")
    if found is not None:
        raise UsageError(f"a demo runs in {folder} (process {found.pid}): stop it first, or name another folder with --dir")
    shutil.rmtree(EmbeddedPostgres(folder / ".topline").place, ignore_errors=True)  # it may lie elsewhere
    shutil.rmtree(folder)


def generate(
    project: ProjectDir = HERE,
    rate: Rate = 40.0,
    count: Annotated[int | None, typer.Option(min=1, help="So many sales as fast as possible, then end.")] = None,
    duration: Duration = None,
    seed: Seed = 7,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a seeded stream of sales to the project's shop database and inbox, until stopped.

    Example: `topline generate --count 100000`
    """
    loaded = open_project(project, overrides)
    seconds = None if duration is None else parse_duration(duration)
    with Stop().on_signals() as stop, databases(loaded) as real:
        generator = _generator(loaded, real, rate, seed, seconds, count)
        generator.prepare()
        generator.start()
        while generator.running and not stop.wait(0.1):
            pass
        generator.stop()
    if as_json:
        print_json({source: {str(kind): n for kind, n in kinds.items()} for source, kinds in generator.kinds().items()})
    else:
        _print_kinds(generator)
    if stop.signal == signal.SIGINT:
        raise typer.Exit(130)


def _generator(
    project: Project, real: Callable[[str], str], rate: float, seed: int, seconds: float | None, count: int | None = None
) -> Generator:
    config = project.config
    shop, folder = _shop(project), _inbox(project)
    options = Options(
        shop_dsn=real(shop),
        folder=folder,
        ledger_dsn=real(LEDGER),
        seed=seed,
        rate=rate,
        count=count,
        duration=seconds,
        time_zone=config.time_zone,
        currency=config.currency,
    )
    return Generator(options)


def _shop(project: Project) -> str:
    for settings in project.config.sources.values():
        if settings.get("kind") == "postgres":
            return str(settings.get("dsn", ""))
    raise ConfigError(f"{project.root / CONFIG_FILE}: the generator needs a source of kind postgres to write orders to")


def _inbox(project: Project) -> Path:
    for settings in project.config.sources.values():
        if settings.get("kind") == "files":
            tables: dict[str, dict[str, Any]] = settings.get("tables", {})
            path = next((table.get("path", "inbox") for table in tables.values()), "inbox")
            first = Path(path if isinstance(path, str) else path[0])
            return project.root / (first if not first.suffix else first.parent)
    raise ConfigError(f"{project.root / CONFIG_FILE}: the generator needs a source of kind files to drop branch files for")


def parse_duration(text: str) -> float:
    """Seconds from `30s`, `5m`, `1h` or a number. UsageError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a time: write 30s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]
