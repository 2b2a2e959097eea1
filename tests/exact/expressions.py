"""Random scalar expressions, each in two dialects: as a model writes it, and as SQLite computes the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from topline.schema import Type

UNITS = 10_000  # money in SQLite is whole units of 10^-4


@dataclass(frozen=True)
class Expr:
    """A value of a row. `most`: what its absolute value does not exceed, where it is a number. `plain`: a column's name."""

    sql: str
    lite: str
    type: Type
    nullable: bool = True
    most: int = 0
    plain: bool = False

    @property
    def operand(self) -> "Expr":
        """To be put into a larger expression."""
        return self if self.plain else replace(self, sql=f"({self.sql})", lite=f"({self.lite})")


Env = Mapping[str, Expr]

_CONSTANTS: dict[Type, list[tuple[str, str]]] = {
    Type.TEXT: [("'Porto'", "'Porto'"), ("'s1'", "'s1'"), ("'?'", "'?'"), ("''", "''")],
    Type.BIGINT: [("cast(1 as bigint)", "1"), ("cast(-3 as bigint)", "-3"), ("cast(0 as bigint)", "0")],
    Type.DECIMAL: [("cast(10.5 as decimal(18,4))", "105000"), ("cast(0 as decimal(18,4))", "0")],
    Type.DATE: [("date '2026-01-01'", "'2026-01-01'"), ("date '1970-01-01'", "'1970-01-01'")],
    Type.TIMESTAMP: [("timestamp '2026-01-01 12:00:00'", "'2026-01-01 12:00:00.000000'")],
    Type.TIMESTAMPTZ: [("timestamptz '2026-03-29 00:00:00+00'", "'2026-03-29 00:00:00.000000'")],
    Type.BOOLEAN: [("true", "1"), ("false", "0")],
}
_MOST = {Type.BIGINT: 3, Type.DECIMAL: 11}


class Basics:
    """`random` decides. Text that a macro takes and that is more than a name goes to `sets`: a Jinja variable each."""

    def __init__(self, random: Random, sets: list[str]) -> None:
        self._random = random
        self._sets = sets

    def of(self, env: Env, type_: Type | None = None, depth: int = 2) -> Expr:
        """Any expression over `env`, of `type_` where it is given."""
        columns = [e for e in env.values() if type_ in (None, e.type)]
        if depth == 0 or self._random.random() < 0.35:
            return self._random.choice(columns) if columns else self.constant(type_ or Type.BIGINT)
        kind = type_ or self._random.choice(
            [*dict.fromkeys(e.type for e in env.values()), Type.DECIMAL, Type.BIGINT, Type.BOOLEAN]
        )
        return self._random.choice(self._ways(kind))(env, kind, depth - 1)

    def constant(self, type_: Type) -> Expr:
        sql, lite = self._random.choice(_CONSTANTS[type_])
        return Expr(sql, lite, type_, nullable=False, most=_MOST.get(type_, 0))

    def macro(self, name: str, argument: Expr) -> str:
        """A call of a shared macro, as a model writes it."""
        if argument.plain:
            return f"{{{{ {name}('{argument.sql}') }}}}"
        variable = f"x{len(self._sets)}"
        self._sets.append(f"{{% set {variable} %}}{argument.sql}{{% endset %}}")
        return f"{{{{ {name}({variable}) }}}}"

    def _ways(self, kind: Type) -> Sequence[Callable[[Env, Type, int], Expr]]:
        """What gives a value of this type."""
        raise NotImplementedError


class Conditions(Basics):
    def condition(self, env: Env, depth: int = 2) -> Expr:
        """What may stand in WHERE; mostly true, so that rows pass."""
        one = self._test(env, Type.BOOLEAN, depth)
        if depth and self._random.random() < 0.4:
            other = self._test(env, Type.BOOLEAN, depth - 1)
            word = self._random.choice(["and", "or", "or"])
            return Expr(f"({one.sql}) {word} ({other.sql})", f"({one.lite}) {word} ({other.lite})", Type.BOOLEAN)
        return one

    def _test(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, self._random.choice([e.type for e in env.values()] or [Type.BIGINT]), min(depth, 1))
        tests = [
            self._null,
            self._null,
            self._equal,
            self._equal,
            self._distinct,
            self._bool if a.type is Type.BOOLEAN else self._less,
        ]
        return self._random.choice(tests)(env, a)

    def _null(self, env: Env, a: Expr) -> Expr:
        return _made(self._random.choice(["{} is null", "{} is not null", "{} is not null"]), Type.BOOLEAN, [a], nullable=False)

    def _equal(self, env: Env, a: Expr) -> Expr:
        b = self.of(env, a.type, 0) if self._random.random() < 0.3 else self.constant(a.type)
        return _made(self._random.choice(["{} = {}", "{} <> {}", "{} <> {}"]), Type.BOOLEAN, [a, b])

    def _distinct(self, env: Env, a: Expr) -> Expr:
        b = self.constant(a.type).operand
        a = a.operand
        return Expr(f"{a.sql} is distinct from {b.sql}", f"{a.lite} is not {b.lite}", Type.BOOLEAN, nullable=False)

    def _less(self, env: Env, a: Expr) -> Expr:
        b, sign = self.constant(a.type).operand, self._random.choice(["<", ">=", ">", "<="])
        left = self.macro("by_bytes", a) if a.type is Type.TEXT else a.operand.sql
        return Expr(f"{left} {sign} {b.sql}", f"{a.operand.lite} {sign} {b.lite}", Type.BOOLEAN)

    def _bool(self, env: Env, a: Expr) -> Expr:
        return _made(self._random.choice(["{}", "not {}"]), Type.BOOLEAN, [a])


class Expressions(Conditions):
    def _ways(self, kind: Type) -> Sequence[Callable[[Env, Type, int], Expr]]:
        own: dict[Type, list[Callable[[Env, Type, int], Expr]]] = {
            Type.TEXT: [self._trimmed, self._joined, self._part, self._null_if, self._written],
            Type.BIGINT: [self._more, self._length, self._year, self._mod, self._sign],
            Type.DECIMAL: [self._money, self._money, self._twice, self._sum, self._sign],
            Type.BOOLEAN: [self._test, self._test],
            Type.DATE: [self._business_date],
        }
        return [self._case, self._coalesce, *own.get(kind, []), *own.get(kind, [])]

    # any type

    def _case(self, env: Env, kind: Type, depth: int) -> Expr:
        test, a, b = self._test(env, kind, depth), self.of(env, kind, depth), self.of(env, kind, depth)
        if self._random.random() < 0.3:
            return _made("case when {} then {} end", kind, [test, a], most=a.most, nullable=True)
        return _made(
            "case when {} then {} else {} end", kind, [test, a, b], most=max(a.most, b.most), nullable=a.nullable or b.nullable
        )

    def _coalesce(self, env: Env, kind: Type, depth: int) -> Expr:
        a, b = self.of(env, kind, depth), self.constant(kind)
        return _made("coalesce({}, {})", kind, [a, b], most=max(a.most, b.most), nullable=False)

    # text

    def _trimmed(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, kind, depth)
        return Expr(self.macro("trimmed", a), f"trim({a.lite})", kind, a.nullable)

    def _joined(self, env: Env, kind: Type, depth: int) -> Expr:
        return _made("{} || '-' || {}", kind, [self.of(env, kind, depth), self.of(env, kind, depth)])

    def _part(self, env: Env, kind: Type, depth: int) -> Expr:
        return _made("substring({}, 1, 2)", kind, [self.of(env, kind, depth)])

    def _null_if(self, env: Env, kind: Type, depth: int) -> Expr:
        return replace(_made("nullif({}, {})", kind, [self.of(env, kind, depth), self.constant(kind)]), nullable=True)

    def _written(self, env: Env, kind: Type, depth: int) -> Expr:
        return _made("cast({} as text)", kind, [self.of(env, Type.BIGINT, depth)])

    # numbers

    def _more(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, kind, depth)
        return _made("{} + 1", kind, [a], most=a.most + 1)

    def _length(self, env: Env, kind: Type, depth: int) -> Expr:
        return _made("length({})", kind, [self.of(env, Type.TEXT, depth)], most=200)

    def _year(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, Type.DATE, depth).operand
        return Expr(f"extract(year from {a.sql})", f"cast(substr({a.lite}, 1, 4) as integer)", kind, a.nullable, 3000)

    def _mod(self, env: Env, kind: Type, depth: int) -> Expr:
        return _made("{} % 3", kind, [self.of(env, kind, depth)], most=3)

    def _sign(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, kind, depth)
        return _made(self._random.choice(["-{}", "abs({})"]), kind, [a], most=a.most)

    def _money(self, env: Env, kind: Type, depth: int) -> Expr:
        text = [e for e in env.values() if e.type is Type.TEXT and e.plain] or [self.constant(Type.TEXT)]
        a = self._random.choice([e for e in text if "amount" in e.sql or "price" in e.sql] or text)
        return Expr(self.macro("try_decimal", a), f"try_decimal({a.lite})", kind, most=101)

    def _twice(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, kind, depth)
        return _made("{} * 2", kind, [a], most=2 * a.most)

    def _sum(self, env: Env, kind: Type, depth: int) -> Expr:
        a, b = self.of(env, kind, depth), self.of(env, kind, depth)
        return _made(self._random.choice(["{} + {}", "{} - {}"]), kind, [a, b], most=a.most + b.most)

    def _business_date(self, env: Env, kind: Type, depth: int) -> Expr:
        a = self.of(env, Type.TIMESTAMPTZ, min(depth, 1))
        return Expr(self.macro("business_date", a), f"business_date({a.lite})", kind, a.nullable)


def _made(form: str, kind: Type, parts: Sequence[Expr], most: int = 0, nullable: bool | None = None) -> Expr:
    """`form` with its operands, the same in both dialects."""
    operands = [part.operand for part in parts]
    null = any(part.nullable for part in parts) if nullable is None else nullable
    return Expr(form.format(*(o.sql for o in operands)), form.format(*(o.lite for o in operands)), kind, null, most)
