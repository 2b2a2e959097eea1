"""Inner and left equi-joins: each side's change is matched with what the other side holds."""

from collections.abc import Sequence

import numpy as np

from topline.live.arrangement import Arrangement
from topline.live.arrays import NULL, Array, Arrays, Columns, Flags, Ints, group_rows, nest, take, unnest
from topline.live.delta import Delta, merge
from topline.live.keyedside import KeyedSide
from topline.live.operator import Operator, places
from topline.models.plan import Join, Node


class JoinOperator(Operator):
    """d(L⋈R) = L_old⋈dR + dL⋈R_new. NULL keys match nothing and are not kept (bilinearity: Budiu et al., DBSP, VLDB 2023).

    A left join adds the null-extended rows: of a key that had rows on the right and has none now, or the reverse, all
    left rows; of every other key without rows on the right, the left rows that changed.
    """

    def __init__(self, node: Join) -> None:
        super().__init__(node)
        self._outer = node.kind == "left"
        self._left_key = places(node.left, [left for left, _ in node.on])
        self._right_key = places(node.right, [right for _, right in node.on])
        self._left = _side(node.left, self._left_key)
        self._right = _side(node.right, self._right_key)
        self._right_width = len(node.right.columns)

    def step(self, inputs: Sequence[Delta]) -> Delta:
        left, right = inputs[0].settle(), inputs[1].settle()
        out = []
        keyed = _has_key(left, self._left_key)
        if self._outer and not keyed.all():
            out.append(self._extended(left.where(~keyed)))
        left, right = left.where(keyed), right.where(_has_key(right, self._right_key))
        if len(right):
            out.append(self._match_right(right))
            out.extend(self._update_right(right))
        if len(left):
            out.extend(self._match_left(left))
            self._left.update(left)
        return merge(out, len(self.node.columns)).settle()

    def _match_right(self, right: Delta) -> Delta:
        which, rows = self._left.match(right.columns[self._right_key])
        columns, weights = self._fetch(self._left, rows)
        return Delta(np.concatenate([columns, take(right.columns, which)]), weights * right.weights[which])

    def _match_left(self, left: Delta) -> list[Delta]:
        which, rows = self._right.match(left.columns[self._left_key])
        columns, weights = self._fetch(self._right, rows)
        matched = Delta(np.concatenate([take(left.columns, which), columns]), weights * left.weights[which])
        if not self._outer:
            return [matched]
        alone = np.ones(len(left), np.bool_)
        alone[which] = False
        return [matched, self._extended(left.rows(np.flatnonzero(alone)))]

    def _update_right(self, right: Delta) -> list[Delta]:
        """Bring in the right side's change; for a left join, gives the old left rows that got or lost their first match."""
        if not self._outer:
            self._right.update(right)
            return []
        keys = right.columns[self._right_key]
        keys = take(keys, group_rows(keys).first)
        before = self._right.counts(keys) > 0
        self._right.update(right)
        after = self._right.counts(keys) > 0
        return [self._turned(keys, before & ~after, 1), self._turned(keys, ~before & after, -1)]

    def _turned(self, keys: Columns, which: Flags, sign: int) -> Delta:
        _, rows = self._left.match(take(keys, np.flatnonzero(which)))
        columns, weights = self._fetch(self._left, rows)
        return self._extended(Delta(columns, sign * weights))

    def _fetch(self, side: Arrangement | KeyedSide, rows: Ints) -> tuple[Columns, Ints]:
        self.rows_read += len(rows)
        return side.take(rows)

    def _extended(self, left: Delta) -> Delta:
        return Delta(np.concatenate([left.columns, np.full((self._right_width, len(left)), NULL)]), left.weights)

    @property
    def state_rows(self) -> int:
        return len(self._left) + len(self._right)

    @property
    def nbytes(self) -> int:
        return self._left.nbytes + self._right.nbytes

    def arrays(self) -> dict[str, Array]:
        return nest(left=self._left, right=self._right)

    def restore(self, arrays: Arrays) -> None:
        unnest(arrays, left=self._left, right=self._right)


def _side(node: Node, key: list[int]) -> Arrangement | KeyedSide:
    types, names = [column.type for column in node.columns], {node.columns[place].name for place in key}
    return KeyedSide(types, key) if node.key is not None and names.issuperset(node.key) else Arrangement(types, key)


def _has_key(delta: Delta, key: list[int]) -> Flags:
    """Rows with no NULL among the key's columns."""
    present = np.ones(len(delta), np.bool_)
    for place in key:
        present &= delta.columns[place] != NULL
    return present
