"""docs/benchmarks.md, made of the text in bench/benchmarks.md and the kept results: `python -m bench.page`."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.figures import COLUMNS, NAMES, RESULTS, Figure, Result, kept, rows

TEMPLATE = Path(__file__).parent / "benchmarks.md"
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_PLACE = re.compile(r"^<!-- (\w+)(?: (\w+))? -->$", re.MULTILINE)


def render(names: Sequence[str], results: Path = RESULTS) -> str:
    """The template's text with, for `<!-- machine -->`, `<!-- bars -->` and `<!-- figures NAME -->`, what was found."""
    found = {name: result for name in names if (result := kept(name, results))}

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "machine":
            return _machine(found.values())
        if match[1] == "bars":
            return _table(figure for result in found.values() for figure in result.figures if figure.bar)
        return _section(found.get(match[2]), match[2])

    return _PLACE.sub(replaced, TEMPLATE.read_text())


def _machine(results: Iterable[Result]) -> str:
    newest = max(results, key=lambda result: result.when, default=None)
    if newest is None:
        return "Nothing was measured yet."
    facts = newest.machine
    words = "{processor}, {cores} cores, {memory}; {system}, Python {python}; {packages}.".format_map(facts)
    return f"{words}\nLast run: {newest.when[:10]}; the load before it, of other work, was {facts['load']}."


def _section(result: Result | None, name: str) -> str:
    if result is None:
        return f"Not measured yet: `make bench ONLY={name}`."
    notes = "".join(f"\n- {figure.what}: {figure.note}" for figure in result.figures if figure.note)
    command, load = f"make bench ONLY={name} SCALE={result.scale}", result.machine["load"]
    told = f"`{command}`, {result.when[:10]}, {result.seconds:.0f} s, load before {load}:"
    return f"{told}\n\n{_table(result.figures)}" + (f"\n{notes}" if notes else "")


def _table(figures: Iterable[Figure]) -> str:
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows(figures)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(render(NAMES))
