"""The histories of test_histories.py, drawn again, hold every composition of operators and everything that can happen."""

from collections import Counter
from itertools import chain, product

from tests.exact.engines import LiteTruth, Rows
from tests.exact.history import Event, History, Truth
from tests.exact.models import DEPTH, OPERATORS, PAIRS, Project, project, text_of
from tests.exact.operators import MEASURES
from tests.exact.relation import Relation, behind
from tests.exact.runs import histories_of
from tests.exact.test_histories import SEEDS

PROJECTS = [project(seed) for seed in SEEDS]
HAPPENS = {"rows", "one", "moved", "corrected", "kept", "twice", "copied", "swept", "truncated", "many"}


def relations() -> list[Relation]:
    return list({id(r): r for made in PROJECTS for model in made.models for r in behind(model.root)}.values())


def depth(relation: Relation) -> int:
    return 1 + max(map(depth, relation.inputs), default=-1)


def test_every_operator_stands_over_every_other() -> None:
    """Each side of a join counts as a place of its own. No pair is impossible: a top-N over rows without a key is refused,
    but each operator can give rows with one."""
    seen = sum((made.pairs() for made in PROJECTS), Counter[tuple[str, str]]())
    assert [pair for pair in PAIRS if not seen[pair]] == []


def test_every_aggregate_function_stands_over_every_operator() -> None:
    seen = sum((made.measures() for made in PROJECTS), Counter[tuple[str, str]]())
    assert [(m, o) for m in MEASURES for o in ("table", *OPERATORS) if not seen[m, o]] == []


def test_compositions_are_four_deep() -> None:
    assert max(map(depth, relations())) >= DEPTH


def test_joins_of_a_relation_with_itself_occur() -> None:
    """Both kinds; of a table and of what was computed."""
    selves = {(r.operator, r.inputs[0].operator == "table") for r in relations() if len(set(r.inputs)) < len(r.inputs)}
    assert {(kind, of_table) for kind in ("inner", "left") for of_table in (True, False)} <= selves


def test_both_sides_of_each_join_change_in_one_batch() -> None:
    """Of inner and of left joins, of a relation with another and with itself; rows changed, not only the tables behind."""
    wanted = {(kind, with_itself) for kind in ("inner", "left") for with_itself in (False, True)}
    seen: set[tuple[str, bool]] = set()
    for made, seed in zip(PROJECTS, SEEDS, strict=True):
        if not wanted <= seen:
            seen |= sides_changed(made, histories_of(seed, made)[0])
    assert wanted <= seen


def sides_changed(made: Project, history: History) -> set[tuple[str, bool]]:
    joins = {id(r): r for model in made.models for r in behind(model.root) if r.operator in {"inner", "left"}}.values()
    truth, lite = Truth(made.tables), LiteTruth(made, {name: spec.schema for name, spec in made.tables.items()})
    before: dict[int, Rows] = {}
    changed = set()
    for batch in history:
        truth.batches(batch)
        lite.rows(truth.rows())
        after = {id(side): lite.select(rows_of(side)) for join in joins for side in join.inputs}
        changed |= {
            (join.operator, len(set(join.inputs)) == 1)
            for join in joins
            if before and all(before[id(side)] != after[id(side)] for side in join.inputs)
        }
        before = after
    return changed


def rows_of(relation: Relation) -> str:
    named = relation.model or relation.operator == "table"
    return f"select * from {relation.lite_reference}" if named else text_of(relation)[1]


def test_everything_that_can_happen_does() -> None:
    """With sweeps of each partition, replays apart and merged, transactions in pieces, and several sources in a batch."""
    batches = [batch for made, seed in zip(PROJECTS, SEEDS, strict=True) for batch in chain(*histories_of(seed, made))]
    deliveries = [delivery for batch in batches for delivery in batch]
    events: list[Event] = [event for delivery in deliveries for event in delivery.events]
    assert {event.kind for event in events} == HAPPENS
    assert {event.partition for event in events if event.kind == "swept"} == {"", "a.csv", "b.csv"}
    assert {(bool(d.again), d.merged, d.parts > 1) for d in deliveries} == {*product((False, True), repeat=3)}
    assert any(len({d.source for d in batch}) > 1 for batch in batches)
