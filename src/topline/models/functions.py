"""The scalar functions that a live model may use: the tested list, and those that only the live engine has."""

from sqlglot import exp

STRUCTURE: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Select, exp.From, exp.Where, exp.Group, exp.Having, exp.Qualify, exp.Join, exp.With, exp.CTE, exp.Subquery,
        exp.Union, exp.Distinct, exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star, exp.Paren,
        exp.Literal, exp.Null, exp.Boolean, exp.DataType, exp.DataTypeParam, exp.Var, exp.Tuple, exp.Collate,
        exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Is, exp.In, exp.Between,
        exp.Not, exp.Neg, exp.Add, exp.Sub, exp.Mul, exp.Mod, exp.DPipe, exp.AtTimeZone,
        exp.Window, exp.RowNumber, exp.Order, exp.Ordered,
    }
)  # fmt: skip
"""What SQL itself is made of: not functions."""

PORTABLE: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.And, exp.Or, exp.Case, exp.If, exp.Coalesce, exp.Nullif, exp.Cast,
        exp.Trim, exp.Length, exp.Substring, exp.Replace, exp.Concat, exp.Chr, exp.RegexpReplace,
        exp.Abs, exp.Sign, exp.Ceil, exp.Floor, exp.Greatest, exp.Least, exp.Extract,
    }
)  # fmt: skip
"""Same result in DuckDB and PostgreSQL (tests/unit/models/test_functions.py runs each on both)."""

DUCKDB_ONLY: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.TryCast, exp.Lower, exp.Upper, exp.RegexpLike, exp.RegexpFullMatch, exp.RegexpExtract,
        exp.StartsWith, exp.StrPosition, exp.Left, exp.Right, exp.Pad, exp.IntDiv, exp.Like,
    }
)  # fmt: skip
"""Deterministic, but missing or different elsewhere: a model that uses one outside a shared macro is `live only`."""

OWN_IN_POSTGRES: frozenset[type[exp.Expr]] = frozenset({exp.RegexpLike, exp.IntDiv})
"""What `~` and `div(..)` of the shared macros read as in PostgreSQL's dialect."""

AGGREGATES: frozenset[type[exp.Expr]] = frozenset({exp.Sum, exp.Count, exp.Min, exp.Max})

VOLATILE: frozenset[type[exp.Expr]] = frozenset(
    {exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.CurrentDatetime, exp.Rand, exp.Randn, exp.Uuid,
     exp.CurrentUser, exp.CurrentTimestampLTZ, exp.Localtime, exp.Localtimestamp}
)  # fmt: skip
VOLATILE_NAMES = frozenset(
    {
        "now", "random", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "today", "get_current_timestamp",
        "transaction_timestamp", "clock_timestamp", "statement_timestamp", "current_localtimestamp", "current_localtime",
        "localtimestamp", "localtime", "getdate", "sysdate", "nextval", "currval", "setseed", "txid_current", "version",
    }
)  # fmt: skip

_SHOWN: dict[type[exp.Expr], str] = {
    exp.RegexpLike: "regexp_matches", exp.RegexpFullMatch: "regexp_full_match", exp.StrPosition: "strpos",
    exp.Pad: "lpad, rpad", exp.IntDiv: "//", exp.Like: "like", exp.Extract: "extract",
    exp.Nullif: "nullif", exp.TryCast: "try_cast",
}  # fmt: skip


def name_of(node: exp.Expr) -> str:
    """A function's name as a person would write it."""
    return str(node.name).lower() if isinstance(node, exp.Anonymous) else _name(type(node))


def _name(kind: type[exp.Expr]) -> str:
    if kind in _SHOWN:
        return _SHOWN[kind]
    return str(kind.sql_name()).lower() if issubclass(kind, exp.Func) else kind.key


def listed(functions: frozenset[type[exp.Expr]]) -> str:
    """The functions' names, sorted."""
    return ", ".join(sorted(_name(kind) for kind in functions - {exp.And, exp.Or, exp.If}))
