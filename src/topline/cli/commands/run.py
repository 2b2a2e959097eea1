"""Commands that run things: run, serve, resync."""

from enum import StrEnum
from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, Overrides, ProjectDir
from topline.errors import UsageError


class Engine(StrEnum):
    live = "live"
    spark = "spark"


def register(app: typer.Typer) -> None:
    for command in (run, serve, ingest, resync):
        app.command()(command)


def run(
    project: ProjectDir = HERE,
    engine: Annotated[
        Engine, typer.Option("--engine", help="live: in this process, until stopped. spark: all topics once, as a batch.")
    ] = Engine.live,
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="MODEL", help="With --engine spark: write only this model.")
    ] = None,
    dates: Annotated[
        str, typer.Option("--date", metavar="DAY[..DAY]", help="With --engine spark: write only the rows of these days.")
    ] = "",
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once all that the sources hold now is published (backfills, cron).")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=0, help="With --until-idle: seconds for which a source may not answer, before it is an error.")
    ] = 60.0,
    strict: Annotated[bool, typer.Option("--strict", help="With dead letters in this run, exit 1.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Become the writer of result tables that another state wrote; republish all.")
    ] = False,
    stand_by: Annotated[
        bool,
        typer.Option("--stand-by", help="With all sources in Kafka: read on, and publish once no other engine does."),
    ] = False,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Keep the models exact until stopped (Ctrl-C or SIGTERM); serves the API too. Or compute them once, on Apache Spark.

    Example: `topline run --until-idle --strict`
    """
    from topline.cli.opening import open_project

    if engine is Engine.spark:
        from topline.cli.spark import Options, run_spark

        options = Options(tuple(select or ()), dates, take_over, strict, until_idle, as_json)
        raise typer.Exit(run_spark(project, overrides, options))
    if select or dates:
        raise UsageError("--select and --date go with --engine spark: the live engine keeps all models")
    from topline.cli.run import Wishes, run_engine

    loaded = open_project(project, overrides)
    if stand_by and until_idle:
        raise UsageError("--stand-by waits for its turn, --until-idle ends: one of the two")
    raise typer.Exit(run_engine(loaded, Wishes(until_idle, patience, strict, take_over, stand_by, as_json)))


def serve(project: ProjectDir = HERE, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Serve the REST API alone, beside an engine or without one; until stopped.

    Example: `topline serve --set api.port=9000`
    """
    from topline.cli.serving import serve_api

    raise typer.Exit(serve_api(project, overrides, as_json=as_json))


def ingest(
    project: ProjectDir = HERE,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once all that this worker's sources hold now is in Kafka.")
    ] = False,
    resync: Annotated[
        str | None,
        typer.Option(metavar="SOURCE[.TABLE]", help="Have this read anew by the worker that has it, and end."),
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Bring sources with `from: kafka` to their topics, until stopped. Several workers share them.

    Example: `topline ingest --until-idle`
    """
    from topline.cli.ingest import ingest_sources, read_anew
    from topline.cli.opening import open_project

    loaded = open_project(project, overrides)
    if resync is not None:
        read_anew(loaded, resync)
        return
    raise typer.Exit(ingest_sources(loaded, until_idle=until_idle, as_json=as_json))


def resync(
    target: Annotated[str, typer.Argument(metavar="SOURCE[.TABLE]", help="What to read anew.")],
    project: ProjectDir = HERE,
    as_json: AsJson = False,
) -> None:
    """Read a source, or one table of it, anew; what it no longer holds is retracted.

    Example: `topline resync shop.orders`
    """
    from topline.cli.asking import resync_target

    resync_target(project, target, as_json=as_json)
