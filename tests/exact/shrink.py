"""Makes a failing history small: what it fails without is left out, from batches down to single changes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.exact.history import Delivery, Event, History

T = TypeVar("T")
Fails = Callable[[History], bool]


def shrunk(history: History, fails: Fails, tries: int = 400) -> History:
    """The smallest that was found in so many tries. `fails(history)` holds at the beginning and for what is returned."""
    left = tries
    progress = True
    while progress and left > 0:
        progress = False
        for candidate in _smaller(history):
            left -= 1
            if fails(candidate):
                history, progress = candidate, True
                break
            if left <= 0:
                break
    return history


def _smaller(history: History) -> Iterator[History]:
    """Smaller histories, the smallest first."""
    for batches in _without(history):
        yield tuple(batches)
    for place, batch in enumerate(history):
        for deliveries in _without(batch):
            yield _put(history, place, tuple(deliveries))
    for place, batch in enumerate(history):
        for number, delivery in enumerate(batch):
            for other in _simpler(delivery):
                yield _put(history, place, _put(batch, number, other))


def _simpler(delivery: Delivery) -> Iterator[Delivery]:
    for plain in (replace(delivery, again=0), replace(delivery, parts=1), replace(delivery, merged=False)):
        if plain != delivery:
            yield plain
    for events in _without(delivery.events):
        yield replace(delivery, events=tuple(events))
    for place, event in enumerate(delivery.events):
        for other in _smaller_events(event):
            yield replace(delivery, events=_put(delivery.events, place, other))


def _smaller_events(event: Event) -> Iterator[Event]:
    for changes in _without(event.changes):
        if changes:
            yield replace(event, changes=tuple(changes))
    for place, (op, row, kept) in enumerate(event.changes):
        if kept:
            yield replace(event, changes=_put(event.changes, place, (op, row, 0)))


def _without(items: Sequence[T]) -> Iterator[list[T]]:
    """Without the first half, the second, quarters, and so on down to each single one."""
    size = len(items) // 2 or 1
    while len(items) > 0:
        for start in range(0, len(items), size):
            rest = [*items[:start], *items[start + size :]]
            if rest:
                yield rest
        if size == 1:
            return
        size //= 2


def _put(items: Sequence[T], place: int, item: T) -> tuple[T, ...]:
    return (*items[:place], item, *items[place + 1 :])
