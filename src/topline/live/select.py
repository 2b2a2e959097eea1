"""Projection and filter: one DuckDB query a delta; columns that pass unchanged never leave their int64 form."""

import re
from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa

from topline.live.arrays import Ints
from topline.live.codec import decode_column, encode_column
from topline.live.delta import Delta
from topline.live.interner import Interner
from topline.live.operator import Operator
from topline.live.question import ROW, Question
from topline.models.plan import Select
from topline.schema import Column

_STRING = re.compile(r"'(?:[^']|'')*'")
_IDENTIFIER = re.compile(r'"((?:[^"]|"")+)"')


class SelectOperator(Operator):
    """Sorts its expressions into plain columns, constants, and what DuckDB computes (with the filter)."""

    def __init__(self, node: Select, interner: Interner, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(node)
        self._interner = interner
        self._connection = connection
        self._inputs = {column.name: place for place, column in enumerate(node.input.columns)}
        self._input_columns = node.input.columns
        self._plain: dict[int, int] = {}
        self._constant: dict[int, int] = {}
        self._computed: list[int] = []
        for place, expression in enumerate(node.expressions):
            self._place(place, expression, node.columns[place])
        used = [*(node.expressions[place] for place in self._computed), node.where or ""]
        self._used = sorted({self._inputs[name] for text in used for name in _identifiers(text) if name in self._inputs})
        self._question = self._prepared(node)

    def _place(self, place: int, expression: str, column: Column) -> None:
        source = self._plain_column(expression.strip(), column)
        if source is not None:
            self._plain[place] = source
            return
        constant = (
            None if any(name in self._inputs for name in _identifiers(expression)) else self._evaluate(expression, column)
        )
        if constant is not None:
            self._constant[place] = constant
        else:
            self._computed.append(place)

    def _plain_column(self, expression: str, column: Column) -> int | None:
        match = _IDENTIFIER.fullmatch(expression)
        source = self._inputs.get(match[1].replace('""', '"')) if match else None
        return source if source is not None and self._input_columns[source].type is column.type else None

    def _evaluate(self, expression: str, column: Column) -> int | None:
        """The one value of an expression without columns; None where DuckDB wants to see a row first."""
        try:
            value = self._connection.sql(f"SELECT CAST({expression} AS {column.type}) AS value").to_arrow_table()
        except duckdb.Error:
            return None
        return int(encode_column(value.column(0), column, self._interner)[0])

    def _prepared(self, node: Select) -> Question | None:
        if not self._computed and node.where is None:
            return None
        wanted = [f"CAST({node.expressions[place]} AS {node.columns[place].type})" for place in self._computed]
        return Question(self._connection, [ROW, *wanted], [self._input_columns[place] for place in self._used], node.where)

    def step(self, inputs: Sequence[Delta]) -> Delta:
        """DuckDB's own errors (an overflow, a cast that fails) halt the models behind."""
        delta = inputs[0].settle()
        if not len(delta):
            return Delta.empty(len(self.node.columns))
        if self._question is None:
            return self._assemble(delta, None, {})
        rows, computed = self._compute(delta, self._question)
        return self._assemble(delta, rows, computed)

    def _compute(self, delta: Delta, question: Question) -> tuple[Ints, dict[int, Ints]]:
        """Which rows pass, and the computed columns of these."""
        arrays = [decode_column(delta.columns[place], self._input_columns[place].type, self._interner) for place in self._used]
        answer = question.ask(pa.array(np.arange(len(delta))), arrays)
        computed = {
            place: encode_column(answer.column(number), self.node.columns[place], self._interner)
            for number, place in enumerate(self._computed, 1)
        }
        return answer.column(0).to_numpy(), computed

    def _assemble(self, delta: Delta, rows: Ints | None, computed: dict[int, Ints]) -> Delta:
        passed = delta if rows is None or (len(rows) == len(delta) and (rows[1:] > rows[:-1]).all()) else delta.rows(rows)
        columns = []
        for place in range(len(self.node.columns)):
            if place in self._plain:
                columns.append(passed.columns[self._plain[place]])
            elif place in self._constant:
                columns.append(np.full(len(passed), self._constant[place]))
            else:
                columns.append(computed[place])
        whole = set(self._plain.values()) == set(self._inputs.values())
        return Delta(columns, passed.weights, settled=whole).settle()


def _identifiers(expression: str) -> list[str]:
    return [name.replace('""', '"') for name in _IDENTIFIER.findall(_STRING.sub("''", expression))]
