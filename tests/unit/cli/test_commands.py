"""What can be typed: every command explains itself, and starts without what it does not need."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from topline.cli.main import app

HEAVY = {"duckdb", "fastapi", "numpy", "psycopg", "pyarrow", "pydantic", "sqlglot", "uvicorn"}
PRINTS_NOTHING = {"demo"}  # shows people how it goes; a machine runs `topline run`


def commands() -> set[str]:
    """Every command as it is typed: `audit`, `dead-letters list`."""
    within = {f"{group.name} {name}" for group in app.registered_groups for name in _names(group.typer_instance or app)}
    return _names(app) | within


def _names(of: typer.Typer) -> set[str]:
    return {command.name or command.callback.__name__ for command in of.registered_commands if command.callback}


def test_the_commands_that_were_promised_are_there() -> None:
    promised = {"init", "check", "run", "status", "show", "audit", "explain", "test", "why", "rejected", "serve", "resync"}
    letters = {"dead-letters list", "dead-letters show", "dead-letters topics", "dead-letters replay"}
    debezium = {"debezium apply", "debezium status", "debezium signal", "debezium remove"}
    flink = {"flink sql", "flink deploy", "flink status", "flink stop"}
    assert commands() == promised | letters | debezium | flink | {"generate", "version", "demo", "ingest"}


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_has_an_example_and_a_machine_may_read_the_answer(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    assert f"topline {name}" in shown.output.partition("Example:")[2].splitlines()[0]
    assert ("--json" in shown.output) is (name not in PRINTS_NOTHING)


def test_a_wrong_option_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["run", "--until-idel"]).exit_code == 2
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2


def test_the_command_line_starts_without_the_heavy_modules() -> None:
    program = "import sys, topline.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not HEAVY & set(loaded)
