"""What an expression of a plan is made of: its columns, its tests, and the parts that can be computed apart."""

from collections.abc import Mapping
from functools import lru_cache

import sqlglot
from sqlglot import exp

from topline.schema import Type

_TESTS = (exp.Is, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_CANNOT_FAIL = (
    *_TESTS, exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Not, exp.Paren,
    exp.Nullif, exp.Trim, exp.Coalesce, exp.Cast, exp.DataType,
)  # fmt: skip


@lru_cache(maxsize=4096)
def parsed(expression: str) -> exp.Expr:
    """The tree; not to be changed."""
    return sqlglot.parse_one(expression, read="duckdb")


def identifiers(expression: str | None) -> set[str]:
    """The columns that an expression reads."""
    return {column.name for column in parsed(expression).find_all(exp.Column)} if expression else set()


def plain(expression: str) -> str | None:
    """The column that an expression merely passes on."""
    tree = parsed(expression)
    return tree.name if isinstance(tree, exp.Column) else None


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def null_test(expression: str) -> tuple[str, bool] | None:
    """Of `"x" IS NULL` and `NOT "x" IS NULL`: the column, and whether NULL makes it true."""
    tree, wanted = parsed(expression), True
    while isinstance(tree, exp.Paren | exp.Not):
        wanted ^= isinstance(tree, exp.Not)
        tree = tree.this
    is_test = isinstance(tree, exp.Is) and isinstance(tree.this, exp.Column) and isinstance(tree.expression, exp.Null)
    return (tree.this.name, wanted) if is_test else None


def decision(expression: str, types: Mapping[str, Type]) -> tuple[str, list[str]] | None:
    """An expression over tests of one column each: itself over columns f0, f1, ..., and the tests. None where it is not.

    Tests are computed also for rows that a CASE would keep from them, so only what cannot fail is taken for one.
    """
    tree = parsed(expression).copy()
    tests: list[str] = []

    def replaced(node: exp.Expr) -> exp.Expr:
        if not isinstance(node, _TESTS) or not _is_safe(node, types):
            return node
        text = str(node.sql(dialect="duckdb"))
        if text not in tests:
            tests.append(text)
        return exp.column(f"f{tests.index(text)}", quoted=True)

    tree = tree.transform(replaced)
    left = {column.name for column in tree.find_all(exp.Column)}
    own = {f"f{number}" for number in range(len(tests))}
    clash = own & set(types)
    return (str(tree.sql(dialect="duckdb")), tests) if tests and left <= own and not clash else None


def _is_safe(test: exp.Expr, types: Mapping[str, Type]) -> bool:
    columns = {column.name for column in test.find_all(exp.Column)}
    if len(columns) != 1 or not all(isinstance(node, _CANNOT_FAIL) for node in test.walk()):
        return False
    if any(cast.to.this is not exp.DataType.Type.TEXT for cast in test.find_all(exp.Cast)):
        return False
    is_text = types[columns.pop()] is Type.TEXT or test.find(exp.Cast) is not None
    return isinstance(test, exp.Is) or (is_text and all(literal.is_string for literal in test.find_all(exp.Literal)))
