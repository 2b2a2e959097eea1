"""What a benchmark found: figures of repeated runs, kept as JSON in bench/results, one file a benchmark."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"
NAMES = (
    "whole",
    "shop",
    "tpch",
    "drain",
    "freshness",
    "state",
    "peers",
    "bare",
    "api",
    "files",
    "many_files",
    "log",
    "publish",
    "push",
    "kafka",
    "cluster",
)
"""In the order of the page."""


@dataclass(frozen=True)
class Bar:
    """What a figure should be: at least, or at most, `value` of its unit."""

    value: float
    at_most: bool = False

    def holds(self, value: float) -> bool:
        return value <= self.value if self.at_most else value >= self.value


@dataclass(frozen=True)
class Figure:
    """`values`, one a run, in `unit`. `cpu`: CPU-seconds a run, of all processes. `work`: how much a run did, in `of`."""

    what: str
    unit: str
    values: Sequence[float]
    cpu: Sequence[float] = ()
    work: float = 0
    of: str = ""
    bar: Bar | None = None
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.values)

    @property
    def holds(self) -> bool | None:
        """None where there is no bar."""
        return None if self.bar is None else self.bar.holds(self.value)

    @property
    def a_cpu_second(self) -> float | None:
        """How much was done a CPU-second, by the median."""
        return self.work / median(self.cpu) if self.work and self.cpu and median(self.cpu) > 0 else None


@dataclass(frozen=True)
class Result:
    """`scale`: small or full; `code`: what was measured, by git's name of its tree; `when`: UTC, ISO 8601."""

    name: str
    scale: str
    code: str
    when: str
    machine: dict[str, str]
    seconds: float
    figures: tuple[Figure, ...]


def keep(result: Result, folder: Path = RESULTS) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{result.name}.json").write_text(json.dumps(_rounded(asdict(result)), indent=1, ensure_ascii=False) + "\n")


def kept(name: str, folder: Path = RESULTS) -> Result | None:
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    found = json.loads(path.read_text())
    figures = tuple(Figure(**{**one, "bar": Bar(**one["bar"]) if one["bar"] else None}) for one in found["figures"])
    return Result(**{**found, "figures": figures})


def _rounded(value: Any) -> Any:
    """Four significant digits are more than a repetition gives."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


COLUMNS = ("what", "median", "min - max (runs)", "CPU-s", "a CPU-s", "bar", "holds")


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """The cells of COLUMNS."""
    return [_row(figure) for figure in figures]


def _row(figure: Figure) -> tuple[str, ...]:
    spread = f"{number(min(figure.values))} - {number(max(figure.values))} ({len(figure.values)})"
    each = figure.a_cpu_second
    return (
        figure.what,
        f"{number(figure.value)} {figure.unit}",
        spread if len(figure.values) > 1 else "(1)",
        number(median(figure.cpu)) if figure.cpu else "",
        f"{number(each)} {figure.of}" if each else "",
        _bar(figure),
        {None: "", True: "yes", False: "no"}[figure.holds],
    )


def _bar(figure: Figure) -> str:
    bar = figure.bar
    return f"{'≤' if bar.at_most else '≥'} {number(bar.value)} {figure.unit}" if bar else ""


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    rounded = float(f"{value:.3g}")
    if rounded == 0:
        return "0"
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.3g}"
