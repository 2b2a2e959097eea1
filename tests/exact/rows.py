"""Random operators over one relation that do not group: projection, filter, DISTINCT, top-N; and what a root needs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.exact.drawing import WIDEST, Drawing, Impossible, passed
from tests.exact.expressions import UNITS, Expr
from tests.exact.relation import Relation, Slot, Source, columns_of, select
from topline.schema import Type


class Rows(Drawing):
    def project(self, relation: Relation) -> Relation:
        source = self._source(relation)
        outputs = {}
        for name in [*relation.key] if relation.key and self._chance(0.8) else []:
            outputs[name] = source.env[name]
        for name, expression in source.env.items():
            if name not in outputs and self._chance(0.5) and len(outputs) < WIDEST:
                outputs[name] = expression
        for number in range(self._random.randint(1, 3)):
            outputs[f"e{number}_{self._made}"] = self._expressions.of(source.env)
        outputs = self._shuffled(outputs)
        return self._selected("project", relation, source, outputs)

    def filter(self, relation: Relation) -> Relation:
        source = self._source(relation)
        condition = self._expressions.condition(source.env)
        source = replace(source, where=[*source.where, condition])
        return self._selected("filter", relation, source, dict(source.env))

    def _selected(self, operator: str, relation: Relation, source: Source, outputs: Mapping[str, Expr]) -> Relation:
        sql, lite = select(outputs, source)
        key = passed([source.env[name].sql for name in relation.key], outputs) if relation.key else None
        over = Source(source.sql, source.lite, dict(outputs), source.where)
        return Relation(
            operator,
            self._name(operator),
            sql,
            lite,
            columns_of(outputs),
            key,
            relation.most,
            (Slot(operator, relation),),
            over,
        )

    def distinct(self, relation: Relation) -> Relation:
        source = self._source(relation)
        names = self._random.sample(list(source.env), self._random.randint(1, min(4, len(source.env))))
        outputs = {name: source.env[name] for name in names}
        if self._chance(0.3):
            outputs[f"d_{self._made}"] = self._expressions.of(source.env)
        sql, lite = select(outputs, source, distinct=True)
        return Relation(
            "distinct",
            self._name("distinct"),
            sql,
            lite,
            columns_of(outputs),
            tuple(outputs),
            relation.most,
            (Slot("distinct", relation),),
        )

    def top(self, relation: Relation) -> Relation:
        if relation.key is None:
            raise Impossible
        source = relation.read_as("t") if relation.operator not in {"project", "filter"} else self._source(relation)
        partition = self._random.choice(
            [c.name for c in relation.columns if c.type is not Type.DECIMAL] or [relation.columns[0].name]
        )
        partitions = [partition] + ([self._random.choice(relation.columns).name] if self._chance(0.2) else [])
        before = self._random.sample([c.name for c in relation.columns], self._random.randint(0, min(2, len(relation.columns))))
        order = list(dict.fromkeys([*before, *self._random.sample(relation.key, len(relation.key))]))
        sql_order, lite_order = self._order(order, source)
        limit = self._random.choice([1, 1, 2, 3, 5])
        rank = f"rank_{self._random.randrange(10**9)}"  # no column that a join reads is called so
        outputs = dict(source.env)
        by = [
            ", ".join(source.env[p].sql for p in dict.fromkeys(partitions)),
            ", ".join(source.env[p].lite for p in dict.fromkeys(partitions)),
        ]
        outputs[rank] = Expr(
            f"row_number() over (partition by {by[0]} order by {sql_order})",
            f"row_number() over (partition by {by[1]} order by {lite_order})",
            Type.BIGINT,
            False,
            limit,
        )
        sql, lite = select(outputs, source)
        names = ", ".join(outputs)
        lite = f"select {names} from ({lite}) where {rank} <= {limit}"
        if self._chance(0.3):
            sql = f"{sql} qualify {rank} <= {limit}"
        else:
            bound = self._random.choice([f"{rank} <= {limit}", f"{rank} < {limit + 1}", f"{limit} >= ranked.{rank}"])
            sql = f"select {names} from ({sql}) as ranked where {bound}"
        return Relation(
            "top", self._name("top"), sql, lite, columns_of(outputs), relation.key, relation.most, (Slot("top", relation),)
        )

    def _order(self, names: Sequence[str], source: Source) -> tuple[str, str]:
        texts = []
        for name in names:
            e = source.env[name]
            way = self._random.choice(["asc nulls last", "desc nulls last", "desc nulls first", "asc nulls first"])
            texts.append(
                (f"{self._expressions.macro('by_bytes', e) if e.type is Type.TEXT else e.sql} {way}", f"{e.lite} {way}")
            )
        return ", ".join(t[0] for t in texts), ", ".join(t[1] for t in texts)

    # roots

    def bag(self, relation: Relation) -> Relation:
        """Rows that nothing tells apart, each once with its number."""
        source = relation.read_as("t")
        by = ", ".join(e.sql for e in source.env.values())
        number = next(name for name in map("copies{}".format, ("", *range(2, 99))) if name not in source.env)
        outputs = {**source.env, number: Expr("count(*)", "count(*)", Type.BIGINT, False, relation.most)}
        sql, lite = select(outputs, source, f" group by {by}")
        return Relation(
            "group",
            self._name("group"),
            sql,
            lite,
            columns_of(outputs),
            tuple(source.env),
            relation.most,
            (Slot("group", relation),),
            measures=("count",),
        )

    def without_null_keys(self, relation: Relation, mark: int) -> Relation:
        """A published key is never NULL: a value that no row has stands for it, another for each `mark` (0 to 27)."""
        source = relation.read_as("t")
        outputs = {n: _never_null(e, mark) if e.nullable and n in (relation.key or ()) else e for n, e in source.env.items()}
        sql, lite = select(outputs, source)
        key = passed([source.env[name].sql for name in relation.key or ()], outputs)
        return Relation(
            "project", self._name("project"), sql, lite, columns_of(outputs), key, relation.most, (Slot("project", relation),)
        )


def _never(type_: Type, mark: int) -> tuple[str, str]:
    """A value that no column holds, another for each `mark`: what stood for NULL in one model may meet a NULL in the next."""
    number, day = -987654321987600 - mark, f"1900-01-{mark + 1:02}"
    return {
        Type.TEXT: (f"'~never {mark}~'", f"'~never {mark}~'"),
        Type.BIGINT: (f"cast({number} as bigint)", str(number)),
        Type.DECIMAL: (f"cast(-98765432.{mark} as decimal(18,4))", str(-(98765432 * UNITS) - int(f"{mark}".ljust(4, "0")))),
        Type.DATE: (f"date '{day}'", f"'{day}'"),
        Type.TIMESTAMP: (f"timestamp '{day} 00:00:00'", f"'{day} 00:00:00.000000'"),
        Type.TIMESTAMPTZ: (f"timestamptz '{day} 00:00:00+00'", f"'{day} 00:00:00.000000'"),
    }[type_]


def _never_null(e: Expr, mark: int) -> Expr:
    if e.type is Type.BOOLEAN:
        form = "case when {0} then 'yes' when {0} is null then '~never {1}~' else 'no' end"
        return Expr(form.format(e.sql, mark), form.format(e.lite, mark), Type.TEXT, False)
    sql, lite = _never(e.type, mark)
    return Expr(f"coalesce({e.sql}, {sql})", f"coalesce({e.lite}, {lite})", e.type, False)
