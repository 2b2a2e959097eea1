"""What rows stand for: the epoch and the sources' times, read in the same statement as they were."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AsOf:
    """`epoch`: of the model that is furthest behind among those that were read; 0: one was not published yet.
    `held_back`: other models have gone further."""

    epoch: int
    held_back: bool
    sources: Mapping[str, datetime | None]

    @property
    def time(self) -> datetime | None:
        """The oldest of the sources' times; None without any."""
        return min((time for time in self.sources.values() if time is not None), default=None)

    @classmethod
    def of_models(cls, wanted: Sequence[str], registered: Sequence[Mapping[str, Any]], newest: int) -> "AsOf":
        """Of the rows that the registry has of these models; a source's time is the oldest that one of them has."""
        epoch = min(one["epoch"] for one in registered) if len(registered) == len(wanted) else 0
        times: dict[str, datetime | None] = {}
        for one in registered:
            for source, time in _times(one["source_times"]).items():
                times[source] = _older(times[source], time) if source in times else time
        return cls(epoch, 0 < epoch < newest, dict(sorted(times.items())))

    @classmethod
    def of_schema(cls, sources: Mapping[str, str | None] | None, newest: int) -> "AsOf":
        """Of what the engine says of itself: the newest epoch."""
        return cls(newest, False, dict(sorted(_times(sources or {}).items())))


def _times(texts: Mapping[str, str | None]) -> dict[str, datetime | None]:
    return {source: None if text is None else datetime.fromisoformat(text) for source, text in texts.items()}


def _older(one: datetime | None, other: datetime | None) -> datetime | None:
    """None: nothing of the source counts there, which is older than anything."""
    return None if one is None or other is None else min(one, other)
