"""What fault tests measured: they append lines of JSON to the file that TOPLINE_TEST_FAULTS names; here these become a table.

`python -m tests.faults.report FILE` prints it as Markdown.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

VARIABLE = "TOPLINE_TEST_FAULTS"
_HEAD = (
    "| fault | points | seeds | kills | lost | doubled | recovery p50 (s) | recovery max (s) |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def note(**facts: object) -> None:
    """One line, where somebody wants it. A kill: fault, point, seed, round, kills, restart (seconds); the end of a round, when
    its sellers' books are compared with the results: round, lost, doubled."""
    if file := os.environ.get(VARIABLE):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        with Path(file).open("a") as out:
            out.write(json.dumps(facts) + "\n")


def table(lines: Iterable[Mapping[str, Any]]) -> str:
    """One row a fault. Lost and doubled are those of the rounds in which it came; '?' where a round did not come to its end."""
    noted = list(lines)
    ends = {line["round"]: line for line in noted if "lost" in line}
    faults: dict[str, list[Mapping[str, Any]]] = {}
    for line in noted:
        if "fault" in line:
            faults.setdefault(line["fault"], []).append(line)
    return "\n".join([*_HEAD, *(_row(fault, kills, ends) for fault, kills in faults.items())])


def _row(fault: str, kills: list[Mapping[str, Any]], ends: Mapping[str, Mapping[str, Any]]) -> str:
    rounds = {line["round"] for line in kills}
    lost, doubled = (_sum([ends.get(name, {}).get(what) for name in rounds]) for what in ("lost", "doubled"))
    restarts = sorted(line["restart"] for line in kills if line.get("restart") is not None)
    times = (f"{median(restarts):.1f}", f"{restarts[-1]:.1f}") if restarts else ("", "")
    points, seeds = ({line[what] for line in kills} for what in ("point", "seed"))
    cells = (fault, len(points), len(seeds), sum(line["kills"] for line in kills), lost, doubled, *times)
    return "| " + " | ".join(map(str, cells)) + " |"


def _sum(found: list[int | None]) -> str:
    known = [number for number in found if number is not None]
    return str(sum(known)) if len(known) == len(found) else "?"


if __name__ == "__main__":
    print(table(json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()))
