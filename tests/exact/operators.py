"""Random operators: each takes relations and gives one over them. What cannot be built over these raises Impossible."""

from tests.exact.drawing import Impossible
from tests.exact.grouping import MEASURES, Groups
from tests.exact.rows import Rows
from tests.exact.several import Joins, Unions

__all__ = ["MEASURES", "Impossible", "Operators"]


class Operators(Rows, Groups, Joins, Unions):
    """Makes the relations of one model: methods named as the operators, `join` and `union` for those of several inputs."""
