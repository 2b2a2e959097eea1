"""Projection and filter over a delta, which keep no rows."""

from collections.abc import Sequence

import duckdb

from topline.live.arrays import matrix
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.operator import Operator
from topline.live.scalars import Scalars
from topline.models.plan import Select
from topline.schema import Column, Type


class SelectOperator(Operator):
    """The filter first: what it keeps out is not computed. DuckDB's own errors (an overflow, a cast) halt the models behind."""

    def __init__(self, node: Select, interner: Interner, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(node)
        self._where: Scalars | None = None
        if node.where is not None:
            self._where = Scalars(node.input.columns, interner, connection)
            self._where.add(node.where, Column("passes", Type.BOOLEAN))
            self._where.prepare()
        self._outputs = Scalars(node.input.columns, interner, connection)
        for text, column in zip(node.expressions, node.columns, strict=True):
            self._outputs.add(text, column)
        self._outputs.prepare()

    def step(self, inputs: Sequence[Delta]) -> Delta:
        """The rows need not be settled, nor are those that it gives."""
        delta = inputs[0]
        if self._where is not None:
            passes = self._where.values(delta.columns, len(delta))[0] == 1
            delta = delta.where(passes)
        if not len(delta):
            return Delta.empty(len(self.node.columns))
        return Delta(matrix(self._outputs.values(delta.columns, len(delta)), len(delta)), delta.weights)
