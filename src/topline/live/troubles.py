"""What is wrong now, a line each: which one, since when, and what becomes of it. Said alike by /readyz, status and log."""

from datetime import UTC, datetime

from topline.live.loop import Engine
from topline.live.publication import Publication
from topline.sources.reader import ReaderState, Status

_STATES = {Status.RETRYING: "down", Status.HALTED: "halted"}


def troubles(engine: Engine) -> list[str]:
    """Of sources, results, models and tables. Read from any thread: nothing is asked of the network."""
    machinery = engine.machinery
    found = [
        f"source {name}: {_STATES[state.status]}: {of_source(state)}"
        for name, state in machinery.readers.states.items()
        if state.status in _STATES
    ]
    found += [f"results: {text}" for text in of_results(machinery.publication)]
    found += [f"model {model}: halted: {why}" for model, why in sorted(dict(engine.holds.models).items())]
    return found + [why for _, why in sorted(dict(engine.holds.tables).items())]


def of_source(state: ReaderState) -> str:
    """The error, and of one that is tried again, since when and how often; '' while all is well."""
    if state.status is not Status.RETRYING or state.since is None:
        return state.error
    tries = "1 try" if state.attempts == 1 else f"{state.attempts} tries"
    return (
        f"{state.error} (since {_time(state.since)}, {tries}; it is tried again by itself: see that it runs and can be reached)"
    )


def of_results(publication: Publication) -> list[str]:
    """None, or one."""
    error, since = publication.last_error, publication.failing_since
    if not error or since is None:
        return []
    return [
        f"{error} (since {_time(since)}; sources are read on into the log, and it is published by itself once the database of "
        "results.dsn answers: see that it runs and can be reached)"
    ]


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
