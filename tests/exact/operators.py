"""Random operators: each takes relations and gives one over them. What cannot be built over these inputs raises Impossible."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from tests.exact.expressions import UNITS, Expr, Expressions
from tests.exact.relation import MOST_PRODUCT, Column, Relation, Slot, Source, columns_of, select
from topline.schema import Type

SAFE = 10**13  # a sum stays below this, so that no DECIMAL(18,4) overflows on the way
WIDEST = 9  # columns
MEASURES = ("sum", "count", "count_of", "avg", "min", "max", "distinct")
_COLUMN = re.compile(r"\b[tlr]\.")


class Impossible(Exception):  # noqa: N818 - no error: the draw is made again
    """The operator cannot stand over these relations."""


class Operators:
    """Makes the relations of one model. `sets` becomes the head of its file: Jinja variables."""

    def __init__(self, random: Random, sets: list[str], prefix: str) -> None:
        self._random = random
        self._prefix = prefix
        self._made = 0
        self._expressions = Expressions(random, sets)

    def _name(self, operator: str) -> str:
        self._made += 1
        return f"{self._prefix}_{operator}_{self._made}"

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _source(self, relation: Relation) -> Source:
        """Reads the relation by its name, or, now and then, in its place what it reads itself."""
        inner = relation.source
        if inner is not None and not relation.model and all(_COLUMN.search(e.sql) for e in inner.env.values()):
            return inner if self._chance(0.5) else relation.read_as("t")
        return relation.read_as("t")

    # one input

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
        key = _passed([source.env[name].sql for name in relation.key], outputs) if relation.key else None
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

    def _shuffled(self, outputs: dict[str, Expr]) -> dict[str, Expr]:
        names = list(outputs)
        self._random.shuffle(names)
        return {name: outputs[name] for name in names}

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
        key = _passed([e.sql for e in groups.values()], outputs)
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
            if _COLUMN.search(expression.sql):
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
        rank = "rank" if "rank" not in source.env else f"rank_{self._made}"
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

    # several inputs

    def join(self, kind: str, left: Relation, right: Relation) -> Relation:
        on = self._on(left, right)
        sources = left.read_as("l"), right.read_as("r")
        outputs = self._joined(sources, left, right)
        by_right = right.key is not None and {b for _, b in on} >= set(right.key)
        by_left = left.key is not None and {a for a, _ in on} >= set(left.key)
        most = left.most if by_right else right.most if by_left and kind == "inner" else left.most * right.most
        if not by_right and not by_left and most > MOST_PRODUCT:
            raise Impossible
        clauses = [self._equality(sources[0].env[a], sources[1].env[b], by_left) for a, b in on]
        if kind == "inner" and self._chance(0.2):
            clauses.append(self._beyond(sources))
        word = "join" if kind == "inner" else "left join"
        texts = [" and ".join(c[0] for c in clauses), " and ".join(c[1] for c in clauses)]
        null = kind == "left"
        env = {name: replace(e, nullable=e.nullable or (null and e.sql.startswith("r."))) for name, e in outputs.items()}
        source = Source(
            f"{sources[0].sql} {word} {sources[1].sql} on {texts[0]}",
            f"{sources[0].lite} {word} {sources[1].lite} on {texts[1]}",
            env,
        )
        sql, lite = select(env, source)
        key = self._join_key(kind, (left, right), (by_left, by_right), env)
        slots = (Slot(f"{kind}.left", left), Slot(f"{kind}.right", right))
        return Relation(kind, self._name(kind), sql, lite, columns_of(env), key, most, slots, source)

    def _on(self, left: Relation, right: Relation) -> list[tuple[str, str]]:
        """Pairs of columns: the right side's key where that is possible and drawn, else what has few values."""
        if right.key and self._chance(0.6) and (pairs := self._matching(left, right, right.key)):
            return pairs
        if left.key and self._chance(0.4) and (pairs := self._matching(right, left, left.key)):
            return [(b, a) for a, b in pairs]
        same = [(a, b) for a in left.columns for b in right.columns if a.type is b.type]
        alike = [(a, b) for a, b in same if a.name == b.name] or same
        if not alike:
            raise Impossible
        chosen = self._random.sample(alike, min(len(alike), self._random.choice([1, 1, 2])))
        return [(a.name, b.name) for a, b in chosen]

    def _matching(self, left: Relation, right: Relation, key: Sequence[str]) -> list[tuple[str, str]]:
        pairs = []
        for name in key:
            found = left.of_type(right.column(name).type)
            same = [c for c in found if c.name == name]
            if not found:
                return []
            pairs.append((self._random.choice(same or found).name, name))
        return pairs

    def _equality(self, a: Expr, b: Expr, plain: bool) -> tuple[str, str]:
        if self._chance(0.15) and a.type is Type.TEXT and not plain:
            a = Expr(f"coalesce({a.sql}, '')", f"coalesce({a.lite}, '')", a.type)
        if self._chance(0.2):
            a, b = b, a
        return f"{a.sql} = {b.sql}", f"{a.lite} = {b.lite}"

    def _beyond(self, sources: tuple[Source, Source]) -> tuple[str, str]:
        condition = self._expressions.condition(self._random.choice(sources).env, 1)
        return f"({condition.sql})", f"({condition.lite})"

    def _joined(self, sources: tuple[Source, Source], left: Relation, right: Relation) -> dict[str, Expr]:
        """Columns of both sides, each under a name of its own; the keys mostly among them."""
        outputs: dict[str, Expr] = {}
        with_keys = self._chance(0.85)
        for source, side in zip(sources, (left, right), strict=True):
            keys = side.key or ()
            names = [n for n in source.env if (n in keys and with_keys) or self._chance(0.4)]
            for name in (names or [next(iter(source.env))])[:WIDEST]:
                outputs[name if name not in outputs else f"{name}_{self._made}"] = source.env[name]
        return outputs

    def _join_key(
        self, kind: str, sides: tuple[Relation, Relation], by: tuple[bool, bool], env: Mapping[str, Expr]
    ) -> tuple[str, ...] | None:
        """As the planner derives it: one side's key where the other is matched by its own, else both."""
        placed = {e.sql: name for name, e in reversed(list(env.items()))}
        keys = [
            None if side.key is None else [placed.get(f"{alias}.{name}") for name in side.key]
            for side, alias in zip(sides, "lr", strict=True)
        ]
        if by[1]:
            wanted = keys[0]
        elif kind == "inner" and by[0]:
            wanted = keys[1]
        else:
            wanted = [*keys[0], *keys[1]] if keys[0] is not None and keys[1] is not None else None
        return None if wanted is None or None in wanted else tuple(name for name in wanted if name is not None)

    def union(self, relations: Sequence[Relation]) -> Relation:
        """The types of the first relation's columns, as far as the others have them; a constant tells the branches apart."""
        types = [c.type for c in relations[0].columns]
        keyed = all(r.key for r in relations) and self._chance(0.7)
        picks = [self._picked(relation, types) for relation in relations]
        width = min(len(pick) for pick in picks)
        names = [f"u{number}_{self._made}" for number in range(width)]
        branches = [
            self._branch(number, relation, names, pick[:width])
            for number, (relation, pick) in enumerate(zip(relations, picks, strict=True))
        ]
        columns = [Column("kind", Type.TEXT, False)]
        for place, name in enumerate(names):
            same = [pick[place] for pick in picks]
            columns.append(Column(name, types[place], any(c.nullable for c in same), max(c.most for c in same)))
        key = self._union_key(relations, picks, names) if keyed else None
        slots = tuple(Slot("union", relation) for relation in relations)
        sql, lite = (" union all ".join(branch[side] for branch in branches) for side in (0, 1))
        return Relation("union", self._name("union"), sql, lite, tuple(columns), key, sum(r.most for r in relations), slots)

    def _picked(self, relation: Relation, types: Sequence[Type]) -> list[Column]:
        picked: list[Column] = []
        for type_ in types:
            found = relation.of_type(type_)
            fresh = [c for c in found if c not in picked]
            if not found:
                break
            same = [c for c in fresh if relation.key and c.name in relation.key] or fresh
            picked.append(same[0] if same else self._random.choice(found))
        if not picked:
            raise Impossible
        return picked

    def _branch(self, number: int, relation: Relation, names: Sequence[str], picked: Sequence[Column]) -> tuple[str, str]:
        source = relation.read_as("t")
        kind = Expr(f"'{number}'", f"'{number}'", Type.TEXT, False)
        return select({"kind": kind, **{n: source.env[c.name] for n, c in zip(names, picked, strict=True)}}, source)

    def _union_key(
        self, relations: Sequence[Relation], picks: Sequence[Sequence[Column]], names: Sequence[str]
    ) -> tuple[str, ...] | None:
        places: set[int] = set()
        for relation, pick in zip(relations, picks, strict=True):
            found = [c.name for c in pick[: len(names)]]
            if any(name not in found for name in relation.key or ()):
                return None
            places |= {found.index(name) for name in relation.key or ()}
        return ("kind", *(names[place] for place in sorted(places)))

    # roots

    def bag(self, relation: Relation) -> Relation:
        """Rows that nothing tells apart, each once with its number."""
        source = relation.read_as("t")
        by = ", ".join(e.sql for e in source.env.values())
        outputs = {**source.env, "copies": Expr("count(*)", "count(*)", Type.BIGINT, False, relation.most)}
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
        key = _passed([source.env[name].sql for name in relation.key or ()], outputs)
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


def _passed(key: Sequence[str], outputs: Mapping[str, Expr]) -> tuple[str, ...] | None:
    """The first output that each of these expressions is; None where one is not passed on."""
    placed = {e.sql: name for name, e in reversed(list(outputs.items()))}
    return tuple(dict.fromkeys(placed[sql] for sql in key)) if all(sql in placed for sql in key) else None
