"""The tables that the models declare held against those that a source's settings name."""

from collections.abc import Collection, Iterator


def strange_tables(declared: Collection[str], configured: Collection[str]) -> Iterator[str]:
    """A fault for each table that the settings name and the models do not declare."""
    for name in configured:
        if name not in declared:
            yield f"tables.{name}: not declared in the models' sources; declare it there, or remove it here"


def lacking_tables(declared: Collection[str], configured: Collection[str], lacks: str, example: str) -> Iterator[str]:
    """A fault for each table that the models declare and the settings do not name: what it `lacks`, and what to write."""
    for name in declared:
        if name not in configured:
            yield f"tables: {name!r} is declared in the models' sources, but {lacks}; add `{name}: {example}`"
