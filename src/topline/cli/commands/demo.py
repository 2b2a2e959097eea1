"""Commands that make sales: demo and generate."""

from pathlib import Path
from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, Overrides, ProjectDir

Rate = Annotated[float, typer.Option(min=0.1, max=100_000, help="Steps a second: sales, corrections, cancellations ...")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same sales.")]
Shares = Annotated[
    list[str] | None,
    typer.Option(
        "--share", metavar="SOURCE=N", help="How much shop, branches or partner gets; 1 each, 0 is nothing. Repeatable."
    ),
]
Duration = Annotated[str | None, typer.Option(metavar="TIME", help="Stop by itself after this time, such as 30s or 5m.")]


def register(app: typer.Typer) -> None:
    app.command()(demo)
    app.command()(generate)


def demo(
    duration: Duration = None,
    folder: Annotated[Path, typer.Option("--dir", help="The demo's project; made anew at each start.")] = Path(".demo"),
    rate: Rate = 40.0,
    seed: Seed = 7,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the API; 0 takes a free one.")] = 8787,
) -> None:
    """Run the whole on this machine: a shop's database, branches' files, a partner's SOAP service. Ctrl-C stops it.

    With `--duration` it stops by itself and proves its result. Example: `topline demo --duration 30s`
    """
    from topline.cli.demo import Stream, run_demo

    raise typer.Exit(run_demo(Stream.of(rate, seed, duration), folder, port))


def generate(
    project: ProjectDir = HERE,
    rate: Rate = 40.0,
    count: Annotated[int | None, typer.Option(min=1, help="So many sales as fast as possible, then end.")] = None,
    duration: Duration = None,
    seed: Seed = 7,
    share: Shares = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a seeded stream of sales to the project's shop database, inbox and partner, until stopped.

    Example: `topline generate --count 100000 --share partner=0`
    """
    from topline.cli.demo import Stream, run_generator
    from topline.cli.opening import open_project

    loaded = open_project(project, overrides)
    raise typer.Exit(run_generator(loaded, Stream.of(rate, seed, duration, count, share or ()), as_json=as_json))
