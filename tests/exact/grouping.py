"""Random GROUP BY with its aggregate functions."""

from collections.abc import Mapping

from tests.exact.drawing import COLUMN, Drawing, Impossible, passed
from tests.exact.expressions import Expr
from tests.exact.relation import Relation, Slot, Source, columns_of, select
from topline.schema import Type

SAFE = 10**13  # a sum stays below this, so that no DECIMAL(18,4) overflows on the way
MEASURES = ("sum", "count", "count_of", "avg", "min", "max", "distinct")


class Groups(Drawing):
    def group(self, relation: Relation) -> Relation:
        source = self._source(relation)
        few = [n for n, e in source.env.items() if e.type is not Type.DECIMAL] or list(source.env)
        names = self._random.sample(few, self._random.randint(1, min(2, len(few))))
        groups = {name: source.env[name] for name in names}
        if self._chance(0.25):
            groups[f"g_{self._made}"] = self._not_constant(source)
        measures: dict[str, Expr] = {}
        kinds = []
        for number, kind in enumerate(self._random.sample(MEASURES, self._random.randint(2, 6))):
            measures[f"m{number}_{self._made}"], done = self._measure(kind, source, relation.most)
            kinds.append(done)
        outputs = {**groups, **measures}
        if self._chance(0.3):
            outputs = self._shuffled(outputs)
        having = self._having(measures)
        by = [", ".join(e.sql for e in groups.values()), ", ".join(e.lite for e in groups.values())]
        sql, lite = select(outputs, source)
        sql, lite = f"{sql} group by {by[0]}{having[0]}", f"{lite} group by {by[1]}{having[1]}"
        key = passed([e.sql for e in groups.values()], outputs)
        return Relation(
            "group",
            self._name("group"),
            sql,
            lite,
            columns_of(outputs),
            key,
            relation.most,
            (Slot("group", relation),),
            measures=tuple(kinds),
        )

    def _not_constant(self, source: Source) -> Expr:
        for _ in range(20):
            expression = self._expressions.of(source.env)
            if COLUMN.search(expression.sql):
                return expression
        raise Impossible

    def _having(self, measures: Mapping[str, Expr]) -> tuple[str, str]:
        if not self._chance(0.2):
            return "", ""
        measure = self._random.choice(list(measures.values()))
        test = self._random.choice(["({}) is not null", "count(*) > 1", "count(*) <> 2"])
        return f" having {test.format(measure.sql)}", f" having {test.format(measure.lite)}"

    def _measure(self, kind: str, source: Source, most: int) -> tuple[Expr, str]:
        if kind == "count":
            return Expr("count(*)", "count(*)", Type.BIGINT, False, most), kind
        argument = self._argument(kind, source, most)
        if argument is None:
            return self._measure("count", source, most)
        a, call = argument, self._expressions.macro
        match kind:
            case "sum":
                return Expr(f"sum({a.sql})", f"sum({a.lite})", a.type, True, a.most * most), kind
            case "avg":
                s, c = f"sum({a.lite})", f"count({a.lite})"
                lite = f"((case when {s} < 0 then -1 else 1 end) * ((2 * abs({s}) + {c}) / nullif(2 * {c}, 0)))"
                return Expr(call("exact_avg", a), lite, Type.DECIMAL, True, a.most), kind
            case "min" | "max":
                text = call(f"{kind}_text", a) if a.type is Type.TEXT else f"{kind}({a.sql})"
                return Expr(text, f"{kind}({a.lite})", a.type, True, a.most), kind
            case "distinct":
                return Expr(f"count(distinct {a.sql})", f"count(distinct {a.lite})", Type.BIGINT, False, most), kind
        return Expr(f"count({a.sql})", f"count({a.lite})", Type.BIGINT, False, most), kind

    def _argument(self, kind: str, source: Source, most: int) -> Expr | None:
        wanted = {"sum": {Type.BIGINT, Type.DECIMAL}, "avg": {Type.DECIMAL}}.get(kind)
        if wanted is None:
            wanted = {*Type} - ({Type.BOOLEAN} if kind in {"min", "max"} else set())
        for _ in range(20):
            found = [e for e in source.env.values() if e.type in wanted]
            if found and self._chance(0.7):
                argument = self._random.choice(found)
            else:
                argument = self._expressions.of(source.env, self._random.choice([t for t in Type if t in wanted]), 1)
            if kind not in {"sum", "avg"} or argument.most * most < SAFE:
                return argument
        return None
