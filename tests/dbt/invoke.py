"""Runs dbt commands and SQL, one after the other, in one process of dbt's own environment: its imports take seconds each.

Steps come as JSON on standard input: {"name", "dbt": [arguments]} or {"duckdb": path, "sql": [statements]}; each command's
outcome goes out as JSON to the file that is named as the only argument. Runs under .venv-dbt's Python, with nothing of ours.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    runner = importlib.import_module("dbt.cli.main").dbtRunner()
    outcomes = {}
    for step in json.load(sys.stdin):
        if "sql" in step:
            execute(step["duckdb"], step["sql"])
        else:
            outcomes[step["name"]] = invoke(runner, step["dbt"])
    Path(sys.argv[1]).write_text(json.dumps(outcomes))


def invoke(runner: Any, arguments: list[str]) -> dict[str, Any]:
    done = runner.invoke(arguments)
    nodes = getattr(done.result, "results", None) or []
    return {
        "success": done.success,
        "error": str(done.exception or ""),
        "nodes": [[node.node.unique_id, str(node.status), node.message] for node in nodes if hasattr(node, "status")],
    }


def execute(path: str, statements: list[str]) -> None:
    with importlib.import_module("duckdb").connect(path) as connection:
        for statement in statements:
            connection.execute(statement)


if __name__ == "__main__":
    main()
