"""Whether a series of samples grows: the median of the slopes between all pairs (Theil-Sen), which outliers do not move."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Bound:
    """What a measure may gain over the stretch that is judged, beyond what the live rows did: a share of its median, or so
    much (in its unit) if that is more."""

    share: float
    least: float


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one measure, over the stretch that is judged."""

    name: str
    first: float
    median: float
    most: float
    gained: float
    allowed: float

    @property
    def grows(self) -> bool:
        return self.gained > self.allowed


def gain(times: Sequence[float], values: Sequence[float]) -> float:
    """What the series gained from its first to its last time, by its median slope. Fewer than three samples tell nothing."""
    at, found = np.asarray(times), np.asarray(values)
    if len(at) < 3:
        return 0.0
    earlier, later = np.triu_indices(len(at), k=1)
    slopes = (found[later] - found[earlier]) / (at[later] - at[earlier])
    return float(np.median(slopes) * (at[-1] - at[0]))


def growth(name: str, times: Sequence[float], values: Sequence[float], rows: Sequence[float], bound: Bound) -> Growth:
    """`rows`: the live rows at the same times. A measure may grow as they do, in proportion, and by its bound."""
    median = float(np.median(values))
    with_rows = median * max(0.0, gain(times, rows)) / max(1.0, float(np.median(rows)))
    allowed = with_rows + max(bound.share * median, bound.least)
    return Growth(name, values[0], median, max(values), gain(times, values), allowed)
