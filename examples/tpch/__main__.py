"""`python -m examples.tpch load|refresh`: fills the database that topline.yml names, and changes it while Topline runs."""

import argparse
import random
import sys
import time
from pathlib import Path

import psycopg

from examples.tpch.load import PROJECT, load, source
from examples.tpch.refresh import Refresh
from topline.errors import ToplineError


def main(arguments: list[str]) -> int:
    wish = _parser().parse_args(arguments)
    try:
        with source(wish.project) as dsn:
            if wish.command == "load":
                print(", ".join(f"{rows:,} of {table}" for table, rows in load(dsn, wish.scale).items()))
            else:
                print(f"{change(dsn, wish.seconds, wish.seed):,} transactions")
    except ToplineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def change(dsn: str, seconds: float, seed: int) -> int:
    """Transactions, some fifty a second, for `seconds`: how many."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM orders WHERE o_orderkey % 32 < 8").fetchone()
        assert row is not None  # an aggregate yields one row
        refresh = Refresh(connection, row[0], random.Random(seed))
        count, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            refresh.step()
            count += 1
            time.sleep(0.02)
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.tpch", description=__doc__)
    parser.add_argument("--project", type=Path, default=PROJECT, help="folder of topline.yml (default: this example's)")
    commands = parser.add_subparsers(dest="command", required=True)
    loading = commands.add_parser("load", help="make TPC-H's tables and fill them")
    loading.add_argument("--scale", type=float, default=0.01, help="scale factor: 1 is 1,500,000 orders (default: 0.01)")
    changing = commands.add_parser("refresh", help="change them, some fifty transactions a second")
    changing.add_argument("--seconds", type=float, default=30, help="for how long (default: 30)")
    changing.add_argument("--seed", type=int, default=1, help="the same seed makes the same changes (default: 1)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
