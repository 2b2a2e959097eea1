"""What an expression of a plan is made of: its columns, its tests, and the parts that can be computed apart."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from topline.schema import MONEY_SCALE, Type

_COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_TESTS = (exp.Is, exp.Between, *_COMPARISONS)
_SMALL = 10**9  # whole numbers that every numeric type holds
_AVERAGE = (
    "CAST((CASE WHEN {0} < 0 THEN -1 ELSE 1 END) * CAST(((2 * CAST(CAST(ABS({0}) AS DECIMAL(22, 4)) * 10000 AS BIGINT) + {1}) "
    "// (NULLIF(2 * {1}, 0))) AS DECIMAL(18, 0)) * CAST(0.0001 AS DECIMAL(4, 4)) AS DECIMAL(18, 4))"
)  # the macro exact_avg, over a sum and a count
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


class Trim(NamedTuple):
    """A text column trimmed; outcome: where it is a test whether that is NULL, what it gives for text that is not empty."""

    column: str
    outcome: int | None


def trim(expression: str, types: Mapping[str, Type]) -> Trim | None:
    """Of the macro nonempty over a text column, with or without '' for NULL around it, or a test whether it is NULL."""
    names = identifiers(expression)
    name = names.pop() if len(names) == 1 else None
    if name is None or types[name] is not Type.TEXT:
        return None
    nonempty = _nonempty(name)
    forms = {nonempty: None, f"COALESCE({nonempty}, '')": None, f"{nonempty} IS NULL": 0, f"NOT {nonempty} IS NULL": 1}
    return Trim(name, forms[expression]) if expression in forms else None


def untrimmed(expression: str, name: str) -> str:
    """The same over values of a text column that have nothing to trim and are not empty: the macro nonempty leaves them."""
    nonempty = _nonempty(name)
    if nonempty not in expression:
        return expression

    def bare(node: exp.Expr) -> exp.Expr:
        is_nonempty = isinstance(node, exp.Nullif) and node.sql(dialect="duckdb") == nonempty
        return exp.column(name, quoted=True) if is_nonempty else node

    return str(parsed(expression).copy().transform(bare).sql(dialect="duckdb"))


def _nonempty(name: str) -> str:
    return f"NULLIF(TRIM(CAST({quoted(name)} AS TEXT)), '')"


class Comparison(NamedTuple):
    """A column against constants: true where all of the comparisons are. The constants are as the live engine keeps them."""

    column: str
    tests: tuple[tuple[str, int], ...]


def comparison(expression: str, types: Mapping[str, Type]) -> Comparison | None:
    """Of a number or a date compared with one constant, or BETWEEN two."""
    tree = parsed(expression)
    if isinstance(tree, exp.Between):
        sides = [] if tree.args.get("symmetric") else [(">=", tree.args["low"]), ("<=", tree.args["high"])]
    else:
        sides = [(sign, tree.expression) for kind, sign in _COMPARISONS.items() if type(tree) is kind]
    if not sides or not isinstance(tree.this, exp.Column):
        return None
    tests = [(sign, _constant(side, types[tree.this.name])) for sign, side in sides]
    known = tuple((sign, number) for sign, number in tests if number is not None)
    return Comparison(tree.this.name, known) if len(known) == len(tests) else None


def _constant(tree: exp.Expr, type_: Type) -> int | None:
    """A whole number or a date as a column of this type keeps it."""
    if type_ is Type.DATE:
        is_date = isinstance(tree, exp.Cast) and tree.to.this is exp.DataType.Type.DATE and tree.this.is_string
        return _days(tree.this.name) if is_date else None
    if type_ not in {Type.BIGINT, Type.DECIMAL} or not tree.is_int or abs(int(tree.to_py())) >= _SMALL:
        return None
    return int(tree.to_py()) * (10**MONEY_SCALE if type_ is Type.DECIMAL else 1)


def _days(text: str) -> int | None:
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days if len(text) == len("2026-11-21") else None
    except ValueError:
        return None


def average(expression: str, types: Mapping[str, Type]) -> tuple[str, str] | None:
    """Of the average of a DECIMAL, as the macro exact_avg makes it of a sum and a count: these two columns."""
    names = list(dict.fromkeys(column.name for column in parsed(expression).find_all(exp.Column, bfs=False)))
    if len(names) != 2 or expression != _AVERAGE.format(*map(quoted, names)):
        return None
    total, count = names
    return (total, count) if types[total] is Type.DECIMAL and types[count] is Type.BIGINT else None


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
    if comparison(str(test.sql(dialect="duckdb")), types) is not None:
        return True
    columns = {column.name for column in test.find_all(exp.Column)}
    if len(columns) != 1 or not all(isinstance(node, _CANNOT_FAIL) for node in test.walk()):
        return False
    if any(cast.to.this is not exp.DataType.Type.TEXT for cast in test.find_all(exp.Cast)):
        return False
    is_text = types[columns.pop()] is Type.TEXT or test.find(exp.Cast) is not None
    return isinstance(test, exp.Is) or (is_text and all(literal.is_string for literal in test.find_all(exp.Literal)))
