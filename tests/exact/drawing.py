"""What every random operator is drawn with: chance, names, and what a SELECT reads."""

import re
from collections.abc import Mapping, Sequence
from random import Random

from tests.exact.expressions import Expr, Expressions
from tests.exact.relation import Relation, Source

WIDEST = 9  # columns
COLUMN = re.compile(r"\b[tlr]\.")


class Impossible(Exception):  # noqa: N818 - no error: the draw is made again
    """The operator cannot stand over these relations."""


class Drawing:
    """`sets` becomes the head of the model's file: Jinja variables. `prefix`: of the names of what is made."""

    def __init__(self, random: Random, sets: list[str], prefix: str) -> None:
        self._random = random
        self._prefix = prefix
        self._made = 0
        self._expressions = Expressions(random, sets)

    def _name(self, operator: str) -> str:
        self._made += 1
        return f"{self._prefix}_{operator}_{self._made}"

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _source(self, relation: Relation) -> Source:
        """Reads the relation by its name, or, now and then, in its place what it reads itself."""
        inner = relation.source
        if inner is not None and not relation.model and all(COLUMN.search(e.sql) for e in inner.env.values()):
            return inner if self._chance(0.5) else relation.read_as("t")
        return relation.read_as("t")

    def _shuffled(self, outputs: dict[str, Expr]) -> dict[str, Expr]:
        names = list(outputs)
        self._random.shuffle(names)
        return {name: outputs[name] for name in names}


def passed(key: Sequence[str], outputs: Mapping[str, Expr]) -> tuple[str, ...] | None:
    """The first output that each of these expressions is; None where one is not passed on."""
    placed = {e.sql: name for name, e in reversed(list(outputs.items()))}
    return tuple(dict.fromkeys(placed[sql] for sql in key)) if all(sql in placed for sql in key) else None
