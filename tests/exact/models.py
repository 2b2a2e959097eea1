"""Random projects: some tables and some models over them, each composed of operators to depth 4, as SQL files on disk."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.exact.operators import Impossible, Operators
from tests.exact.relation import Column, Relation, behind, within
from tests.exact.tables import TableSpec, shop, sources_yaml
from topline.models import load
from topline.models.plan import ProjectPlan

SALES = Path(__file__).parents[2] / "sales"
ZONE = "Europe/Rome"
DEPTH = 4
OPERATORS = ("project", "filter", "inner", "left", "union", "group", "distinct", "top")
SLOTS = ("project", "filter", "inner.left", "inner.right", "left.left", "left.right", "union", "group", "distinct", "top")
PAIRS = [(slot, child) for slot in SLOTS for child in ("table", *OPERATORS)]
TARGETS = [*PAIRS, *[("group", child) for child in ("table", *OPERATORS)] * 2]
TRIES = 60


@dataclass(frozen=True)
class Model:
    """`sql` as it stands in the file; `lite` is the same for SQLite, over tables and models by their names."""

    name: str
    root: Relation
    sql: str
    lite: str
    published: bool


@dataclass(frozen=True)
class Project:
    tables: Mapping[str, TableSpec]
    models: tuple[Model, ...]

    def only(self, names: Sequence[str]) -> "Project":
        """These models, and those that they read."""
        wanted = set(names)
        for model in reversed(self.models):
            if model.name in wanted:
                wanted |= {r.name for r in behind(model.root) if r.model}
        return replace(self, models=tuple(model for model in self.models if model.name in wanted))

    def pairs(self) -> Counter[tuple[str, str]]:
        """(slot, operator in it), how often."""
        relations = {id(r): r for model in self.models for r in behind(model.root)}.values()
        return Counter((slot.name, slot.relation.operator) for r in relations for slot in r.slots)

    def measures(self) -> Counter[tuple[str, str]]:
        """(aggregate function, operator that it aggregates), how often."""
        relations = {id(r): r for model in self.models for r in behind(model.root)}.values()
        return Counter((name, r.inputs[0].operator) for r in relations for name in r.measures)

    def plan(self) -> ProjectPlan:
        """Loaded from a folder, as any project is."""
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder))
            return load(Path(folder), name="random", time_zone=ZONE, currency="EUR", vars={})

    def write(self, folder: Path) -> None:
        live = folder / "models" / "live"
        live.mkdir(parents=True)
        (folder / "dbt_project.yml").write_text(f"name: random\nmacro-paths: ['{SALES / 'macros'}']\n", encoding="utf-8")
        (live / "sources.yml").write_text(sources_yaml(self.tables), encoding="utf-8")
        for model in self.models:
            (live / f"{model.name}.sql").write_text(model.sql, encoding="utf-8")


class Composer:
    """Composes models over `tables`. What was composed may be read again, by its name or as another model."""

    def __init__(self, random: Random, tables: Mapping[str, TableSpec]) -> None:
        self._random = random
        self._tables = {name: _table(spec) for name, spec in tables.items()}
        self._models: list[Model] = []
        self._pool: list[Relation] = []

    def compose(self, targets: Sequence[tuple[str, str]]) -> tuple[Model, ...]:
        """A published model for each of `targets`, pairs of operators that it is to hold."""
        for number, target in enumerate(targets):
            self._model(f"m{number}", target)
        return tuple(self._models)

    def _model(self, name: str, target: tuple[str, str]) -> None:
        for attempt in range(TRIES):
            self._sets: list[str] = []
            self._operators = Operators(self._random, self._sets, f"{name}_{attempt}")
            self._pool = []
            try:
                relation = self._spine(self._draw_spine(target))
                root, key = self._root(relation)
            except Impossible:
                continue
            self._finish(name, root, key)
            return
        raise AssertionError(f"{target} was not drawn in {TRIES} tries: is it possible at all?")

    def _draw_spine(self, target: tuple[str, str]) -> list[str]:
        """Slots from the bottom up; the last but one pair of them is the target."""
        slot, child = target
        above = self._random.randint(0, 2)
        below = 0 if child == "table" else self._random.randint(0, DEPTH - 2 - above)
        spine = [self._random.choice(SLOTS) for _ in range(below)]
        if child != "table":
            spine.append(next(s for s in self._random.sample(SLOTS, len(SLOTS)) if s.partition(".")[0] == child))
        return [*spine, slot, *(self._random.choice(SLOTS) for _ in range(above))]

    def _spine(self, slots: Sequence[str]) -> Relation:
        relation = self._table()
        for slot in slots:
            relation = self._over(slot, relation)
            self._pool.append(relation)
            if self._random.random() < 0.1:
                relation = self._apart(relation)
        return relation

    def _over(self, slot: str, relation: Relation) -> Relation:
        operator, _, side = slot.partition(".")
        for _ in range(8):
            try:
                if operator in {"inner", "left"}:
                    other = self._other(relation)
                    return self._operators.join(operator, *((relation, other) if side == "left" else (other, relation)))
                if operator == "union":
                    return self._operators.union(
                        [relation, *(self._other(relation) for _ in range(self._random.choice([1, 1, 2])))]
                    )
                made: Relation = getattr(self._operators, operator)(relation)
                return made
            except Impossible:
                continue
        raise Impossible

    def _other(self, relation: Relation) -> Relation:
        """The other side of a join or union: itself, what was composed before, another model, a table, or a small new one."""
        chance = self._random.random()
        models = [model.root for model in self._models]
        if chance < 0.15:
            return relation
        if chance < 0.35 and self._pool:
            return self._random.choice(self._pool)
        if chance < 0.5 and models:
            return self._random.choice(models)
        if chance < 0.7:
            return self._table()
        slots = [self._random.choice(SLOTS[:2] + SLOTS[7:]) for _ in range(self._random.randint(1, 2))]
        made = self._table()
        for slot in slots:
            made = self._over(slot, made)
        return made

    def _table(self) -> Relation:
        return self._random.choice(list(self._tables.values()))

    def _apart(self, relation: Relation) -> Relation:
        """The relation as a model of its own that is not published."""
        model = self._finish(f"{relation.name}_apart", relation, ())
        self._sets.clear()
        self._pool = [model.root]
        return model.root

    def _root(self, relation: Relation) -> tuple[Relation, tuple[str, ...]]:
        """What can be published, and its key, which is never NULL."""
        if relation.operator == "table":
            raise Impossible
        if relation.key is None:
            relation = self._operators.bag(relation)
        key = relation.key or ()
        if relation.model or any(relation.column(name).nullable for name in key):
            relation = self._operators.without_null_keys(relation, len(self._models))
        return relation, key

    def _finish(self, name: str, relation: Relation, key: tuple[str, ...]) -> Model:
        """`key`: of a model that is published; its columns are declared in any order."""
        root = replace(relation, name=name, model=True)
        sql, lite = text_of(relation)
        meta = f"{{'key': {self._random.sample(key, len(key))}}}" if key else "{'publish': false}"
        head = [f"{{{{ config(meta={meta}) }}}}", *self._sets]
        model = Model(name, root, "\n".join([*head, sql]) + "\n", lite, bool(key))
        self._models.append(model)
        return model


def _table(spec: TableSpec) -> Relation:
    keys = spec.schema.key
    columns = tuple(
        Column(c.name, c.type, c.name not in keys and None in spec.values[c.name], _most(spec.values[c.name]))
        for c in spec.schema.columns
    )
    return Relation("table", spec.schema.name, "", "", columns, keys, spec.most)


def _most(values: Sequence[object]) -> int:
    return max((abs(value) for value in values if isinstance(value, int)), default=0)


def text_of(root: Relation) -> tuple[str, str]:
    """A model's text: the relations that it reads as CTEs, in both dialects."""
    parts = within(replace(root, model=False))
    parts = [part for part in parts if part is not root]
    sides = []
    for named, main in (([(p.name, p.sql) for p in parts], root.sql), ([(f'"{p.name}"', p.lite) for p in parts], root.lite)):
        ctes = ",\n".join(f"{name} as ({text})" for name, text in named)
        sides.append(f"with {ctes}\n{main}" if ctes else main)
    return sides[0], sides[1]


def project(seed: int, models: int = 6) -> Project:
    """The project of this seed. Seeds that follow each other go through all pairs of operators in turn."""
    random = Random(seed)
    tables = shop(random.choice([8, 8, 8, 24]))
    first = seed * models
    targets = [TARGETS[(first + number) % len(TARGETS)] for number in range(models)]
    return Project(tables, Composer(random, tables).compose(targets))


def by_hand(sql: Mapping[str, str], ids: int = 8) -> Project:
    """Models written by a person, over the same tables."""
    tables = shop(ids)
    root = _table(tables["shop.orders"])
    return Project(tables, tuple(Model(name, root, text, "", "false}" not in text) for name, text in sql.items()))
