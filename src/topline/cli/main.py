"""The commands. Exit codes are 0, 1 (work failed), 2 (usage), 130 (Ctrl-C)."""

import logging
import sys

import typer
from rich.markup import escape

from topline.cli.commands import debezium, demo, flink, inspect, letters, project, run
from topline.cli.output import err
from topline.errors import ToplineError, out_of_memory

app = typer.Typer(
    name="topline",
    help="Sales rankings kept exact: changes of keyed tables in, published rankings in PostgreSQL out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

for module in (project, run, inspect, demo):
    module.register(app)
app.add_typer(letters.app, name="dead-letters")
app.add_typer(debezium.app, name="debezium")
app.add_typer(flink.app, name="flink")


def main() -> None:
    """The entry point: errors raised on purpose become one message and an exit code, never a traceback."""
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it tells of each failed try; readyz and status say it once
    try:
        app(standalone_mode=True)
    except ToplineError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if (lacking := out_of_memory(error)) is None:
            raise
        err.print(f"[bold red]error:[/] {escape(str(lacking))}", soft_wrap=True)
        sys.exit(lacking.exit_code)


if __name__ == "__main__":
    main()
