"""`topline flink`: the models as a Flink SQL job."""

from typing import Annotated

import typer

from topline.cli.options import HERE, AsJson, ProjectDir

app = typer.Typer(help="The models as one Flink SQL job, from topics to the result tables.", no_args_is_help=True)

TakeOver = Annotated[bool, typer.Option("--take-over", help="Replace result tables that another engine wrote.")]


@app.command()
def sql(project: ProjectDir = HERE, as_json: AsJson = False) -> None:
    """Print the whole job as Flink SQL. Secrets are left out.

    Example: `topline flink sql > job.sql`
    """
    from topline.cli.flink import show_script

    show_script(project, as_json=as_json)


@app.command()
def deploy(
    project: ProjectDir = HERE,
    take_over: TakeOver = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Read all topics anew, dead letters among them.")] = False,
    wait: Annotated[bool, typer.Option(help="Until all topics are read and the tables are in place.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 3600,
    as_json: AsJson = False,
) -> None:
    """Start the job, or bring it to what the project says now, and say how: restored from a savepoint, or rebuilt.

    Example: `topline flink deploy --no-wait`
    """
    from topline.cli.flink import deploy_job

    patience = timeout if wait else None
    deploy_job(project, take_over=take_over, anew=rebuild, patience=patience, as_json=as_json)


@app.command()
def status(project: ProjectDir = HERE, take_over: TakeOver = False, as_json: AsJson = False) -> None:
    """Show how the job stands, and how far it has read. Tables that are full come in place. Exit code 1 where no job runs.

    Example: `topline flink status`
    """
    from topline.cli.flink import show_job

    show_job(project, take_over=take_over, as_json=as_json)


@app.command()
def stop(project: ProjectDir = HERE, as_json: AsJson = False) -> None:
    """Stop the job with a savepoint, from which `topline flink deploy` goes on.

    Example: `topline flink stop`
    """
    from topline.cli.flink import stop_job

    stop_job(project, as_json=as_json)
