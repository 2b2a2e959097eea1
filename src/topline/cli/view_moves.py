"""Who rose and who fell: ranks compared from one look to the next, remembered for a few seconds."""

from collections.abc import Sequence
from typing import Literal

Move = Literal["up", "down", "new", ""]
_SECONDS = 4.0


class Moves:
    """One list's movements. A line is new only when the list was not empty before."""

    def __init__(self) -> None:
        self._ranks: dict[str, int] = {}
        self._moved: dict[str, tuple[Move, float]] = {}

    def see(self, keys: Sequence[str], now: float) -> list[Move]:
        """The move to show for each key, in the order given; `now` in seconds, not decreasing."""
        ranks = {key: rank for rank, key in enumerate(keys)}
        for key, rank in ranks.items():
            if self._ranks and (move := _move(self._ranks.get(key), rank)):
                self._moved[key] = (move, now)
        self._ranks = ranks
        self._moved = {key: moved for key, moved in self._moved.items() if now - moved[1] < _SECONDS}
        return [self._moved[key][0] if key in self._moved else "" for key in keys]


def _move(before: int | None, rank: int) -> Move:
    if before is None:
        return "new"
    return "up" if rank < before else "down" if rank > before else ""
