"""What every step of the dataflow is: changes of its inputs in, its own change out, state and counters in between."""

from collections.abc import Sequence

from topline.live.arrays import Array, Arrays
from topline.live.delta import Delta, merge
from topline.models.plan import Node


class Operator:
    """`rows_read` counts the rows that it fetched from its state since it was made; what it was handed does not count."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rows_read = 0

    def step(self, inputs: Sequence[Delta]) -> Delta:
        """Fold one batch. Raises ModelHalted; the operator's state is void then."""
        raise NotImplementedError

    @property
    def state_rows(self) -> int:
        return 0

    @property
    def nbytes(self) -> int:
        return 0

    def arrays(self) -> dict[str, Array]:
        return {}

    def restore(self, arrays: Arrays) -> None:
        """The reverse of `arrays`, into a new operator."""


class UnionOperator(Operator):
    def step(self, inputs: Sequence[Delta]) -> Delta:
        return merge(inputs, len(self.node.columns)).settle()


def places(node: Node, names: Sequence[str]) -> list[int]:
    """Where these columns stand in a node's output."""
    all_names = [column.name for column in node.columns]
    return [all_names.index(name) for name in names]
