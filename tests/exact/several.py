"""Random operators over several relations: joins and UNION ALL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tests.exact.drawing import WIDEST, Drawing, Impossible
from tests.exact.expressions import Expr
from tests.exact.relation import MOST_PRODUCT, Column, Relation, Slot, Source, columns_of, select
from topline.schema import Type


class Joins(Drawing):
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


class Unions(Drawing):
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
