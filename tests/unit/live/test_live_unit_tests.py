"""dbt's unit tests on the live engine: what differs is named, and each is run in four orders of arrival."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.unit.models.small import plan
from topline.live.dataflow import Dataflow
from topline.live.unit_tests import Outcome, run_unit_tests
from topline.models import UnitTest
from topline.models.plan import ProjectPlan

Rows = Sequence[Mapping[str, object]]
SUMS = "select day, sum(number) as total, count(*) as many from $t group by day"
GIVEN: Rows = [
    {"id": "a", "day": "2024-03-01", "number": 1},
    {"id": "b", "day": "2024-03-01", "number": 4},
    {"id": "c", "day": "2024-03-02", "number": None},
]
WAYS = ["in one batch", "row by row", "shuffled", "redelivered"]


@pytest.fixture(scope="module")
def sums(tmp_path_factory: pytest.TempPathFactory) -> ProjectPlan:
    folder: Path = tmp_path_factory.mktemp("models")
    return plan(folder, {"sums": SUMS, "flags": "select id, ok, number from $t"})


def outcomes(plan: ProjectPlan, expect: Rows, given: Rows = GIVEN, model: str = "sums") -> list[Outcome]:
    return list(run_unit_tests(plan, [UnitTest("example", model, {"s.t": given}, expect, "notes.yml", 1)]))


def test_it_passes_in_every_order_of_arrival(sums: ProjectPlan) -> None:
    found = outcomes(sums, [{"day": "2024-03-01", "total": 5, "many": 2}, {"day": "2024-03-02", "total": None, "many": 1}])
    assert [outcome.way for outcome in found] == WAYS
    assert {(outcome.test, outcome.model, outcome.passed) for outcome in found} == {("example", "sums", True)}


def test_what_is_missing_and_what_is_there_instead_is_named(sums: ProjectPlan) -> None:
    for outcome in outcomes(sums, [{"day": "2024-03-01", "many": 3}, {"day": "2024-03-02", "many": 1}]):
        assert not outcome.passed
        assert outcome.missing == ("{'day': datetime.date(2024, 3, 1), 'many': 3}",)
        assert outcome.unexpected == ("{'day': datetime.date(2024, 3, 1), 'many': 2}",)


def test_rows_are_compared_on_the_columns_that_any_expected_row_names(sums: ProjectPlan) -> None:
    assert all(outcome.passed for outcome in outcomes(sums, [{"day": "2024-03-01"}, {"day": "2024-03-02"}]))
    (first, *_) = outcomes(sums, [{"day": "2024-03-01"}, {"day": "2024-03-02", "many": 1}])
    assert (len(first.missing), len(first.unexpected)) == (1, 1)


def test_a_row_too_many_or_too_few_fails(sums: ProjectPlan) -> None:
    (few, *_) = outcomes(sums, [{"day": "2024-03-01"}])
    assert (few.passed, few.missing, len(few.unexpected)) == (False, (), 1)
    (twice, *_) = outcomes(sums, [{"day": "2024-03-01"}, {"day": "2024-03-02"}, {"day": "2024-03-02"}])
    assert (twice.passed, len(twice.missing), twice.unexpected) == (False, 1, ())


def test_nothing_expected_is_compared_with_all_columns(sums: ProjectPlan) -> None:
    assert all(outcome.passed for outcome in outcomes(sums, [], given=[]))
    (some, *_) = outcomes(sums, [])
    assert len(some.unexpected) == 2
    assert "'total': 5" in some.unexpected[0] + some.unexpected[1]


def test_yaml_booleans_are_the_columns_type(sums: ProjectPlan) -> None:
    given: Rows = [{"id": "a", "ok": True}, {"id": "b", "ok": False}, {"id": "c"}]
    assert all(outcome.passed for outcome in outcomes(sums, given, given, "flags"))
    swapped: Rows = [{"id": "a", "ok": False}, {"id": "b", "ok": True}, {"id": "c"}]
    assert not any(outcome.passed for outcome in outcomes(sums, swapped, given, "flags"))


def test_a_model_that_halts_fails_with_its_reason(sums: ProjectPlan) -> None:
    given = [{"id": "a", "day": "2024-03-01", "number": 2**63 - 1}, {"id": "b", "day": "2024-03-01", "number": 1}]
    for outcome in outcomes(sums, [], given):
        assert not outcome.passed
        assert outcome.unexpected[0].startswith("halted: ")
        assert "overflows BIGINT" in outcome.unexpected[0]
        assert outcome.missing == ()


def test_rows_arrive_at_once_one_by_one_shuffled_and_again(sums: ProjectPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[list[list[str]]] = []
    made, apply = Dataflow.__init__, Dataflow.apply

    def begin(self: Dataflow, plan: ProjectPlan) -> None:
        arrived.append([])
        made(self, plan)

    def watched(self: Dataflow, parts: object) -> object:
        assert all(part.hi.tolist() == [1] * len(part) for part in parts)  # type: ignore[attr-defined]
        arrived[-1].append([x for part in parts for x in part.rows["id"].to_pylist()])  # type: ignore[attr-defined]
        positions = [x for part in parts for x in part.lo.tolist()]  # type: ignore[attr-defined]
        assert positions == ["?abc".index(x) for x in arrived[-1][-1]], "each row has a place of its own"
        return apply(self, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(Dataflow, "__init__", begin)
    monkeypatch.setattr(Dataflow, "apply", watched)
    outcomes(sums, [])
    single = [["a"], ["b"], ["c"]]
    shuffled = list(single)
    random.Random(7).shuffle(shuffled)
    twice = [row for row in single for _ in range(2)]
    assert arrived == [[["a", "b", "c"]], single, shuffled, [*twice, ["a", "b", "c"]]]
    assert shuffled != single
