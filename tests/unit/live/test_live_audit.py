"""The audit: what PostgreSQL has is compared with the models' SQL over the log, and each difference is counted and shown."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.live.engines import Told
from tests.unit.models.small import plan
from topline.changes import UPSERT, TableChanges
from topline.live.audit import Compared, audit_results, audit_sources, truth
from topline.log import Log, LogEntry
from topline.models.plan import ProjectPlan

MODELS = {
    "days": "select day, sum(number) as total from $t group by day",
    "big": "select day, total from {{ ref('days') }} where total >= 10",
    "labels": "select id, label from $u",
    "broken": "select id, cast(name as bigint) as n from $t",
}
Read = Callable[[str], Iterable[pa.Table]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ProjectPlan:
    folder: Path = tmp_path_factory.mktemp("models")
    return plan(folder, MODELS)


@pytest.fixture
def log(tmp_path: Path, small: ProjectPlan) -> Iterator[Log]:
    """Epoch 1: a and b sum up to 5; epoch 2: c comes, of the next day."""
    with Log.open(tmp_path / "state", "test") as one:
        one.declare(small.tables)
        for rows in ([("a", "2024-03-01", 1), ("b", "2024-03-01", 4)], [("c", "2024-03-02", 20)]):
            one.append(LogEntry(changes=[changes(small, rows)]))
        yield one


def changes(small: ProjectPlan, rows: list[tuple[str, str, int]]) -> TableChanges:
    schema = small.tables["s.t"]
    given = [{"id": id_, "day": np.datetime64(day).item(), "number": number, "name": "x"} for id_, day, number in rows]
    table = pa.Table.from_pylist(given, schema=schema.arrow)
    count = len(rows)
    return TableChanges("s.t", "", table, np.full(count, UPSERT, np.int8), np.ones(count, np.int64), np.arange(count))


def days(small: ProjectPlan, *rows: tuple[str, int | None]) -> pa.Table:
    given = [{"day": np.datetime64(day).item(), "total": total} for day, total in rows]
    return pa.Table.from_pylist(given, schema=small.models["days"].schema.arrow)


def audited(log: Log, small: ProjectPlan, epochs: dict[str, int], **rows: list[pa.Table]) -> dict[str, Compared]:
    return {found.name: found for found in audit_results(log, small, epochs, lambda name: rows[name])}


def test_what_is_equal_is_counted(log: Log, small: ProjectPlan) -> None:
    chunks = [days(small, ("2024-03-01", 5)), days(small, ("2024-03-02", 20))]
    found = audited(log, small, {"days": 2, "big": 2}, days=chunks, big=chunks[1:])
    assert found == {"days": Compared("days", 2, 2, 2, 0, 0, ()), "big": Compared("big", 2, 1, 1, 0, 0, ())}
    assert all(one.equal and not one.differs for one in found.values())


def test_each_model_is_compared_as_of_its_own_epoch(log: Log, small: ProjectPlan) -> None:
    found = audited(
        log, small, {"days": 1, "big": 2}, days=[days(small, ("2024-03-01", 5))], big=[days(small, ("2024-03-02", 20))]
    )
    assert [one.name for one in found.values()] == ["days", "big"]
    assert all(one.equal for one in found.values())


def test_what_is_missing_and_what_is_too_much_is_counted_and_shown(log: Log, small: ProjectPlan) -> None:
    wrong = [days(small, ("2024-03-01", 6), ("2024-03-02", 20), ("2024-03-02", 20))]
    found = audited(log, small, {"days": 2}, days=wrong)["days"]
    assert (found.expected, found.found, found.missing, found.extra) == (2, 3, 1, 2)
    assert (found.equal, found.differs) == (False, True)
    assert found.examples[0] == "missing: {'day': datetime.date(2024, 3, 1), 'total': 5}"
    assert sorted(found.examples[1:]) == [
        "extra: {'day': datetime.date(2024, 3, 1), 'total': 6}",
        "extra: {'day': datetime.date(2024, 3, 2), 'total': 20}",
    ]
    missing = audited(log, small, {"days": 2}, days=[])["days"]
    assert (missing.missing, missing.extra, missing.differs) == (2, 0, True)
    extra = audited(log, small, {"big": 1}, big=wrong)["big"]
    assert (extra.missing, extra.extra, extra.differs) == (0, 3, True)


def test_five_examples_of_each_side_are_shown(log: Log, small: ProjectPlan) -> None:
    found = audited(log, small, {"days": 2}, days=[days(small, *[(f"2025-01-{day:02}", day) for day in range(1, 10)])])["days"]
    assert (found.extra, sum(example.startswith("extra") for example in found.examples)) == (9, 5)


def test_a_model_that_stands_before_the_oldest_epoch_of_the_log_cannot_be_compared(log: Log, small: ProjectPlan) -> None:
    log.compact(2)
    floor = log.floor
    assert floor == 2
    found = audited(log, small, {"days": 1, "big": 2}, big=[days(small, ("2024-03-02", 20))])
    assert found["big"].equal
    one = found["days"]
    assert (one.comparable, one.equal, one.differs) == (False, False, False)
    assert (one.epoch, one.expected, one.found, one.missing, one.extra) == (1, 0, 0, 0, 0)
    assert one.examples == ("it stands at epoch 1, and the log can be read from epoch 2 on: compare it once it goes on",)


def test_the_truth_holds_what_the_chosen_models_read_and_leaves_out_the_others(log: Log, small: ProjectPlan) -> None:
    """A model that is halted may fail."""
    with truth(log, small, 2, ["days"]) as connection:
        assert connection.execute("SELECT count(*), sum(total) FROM days").fetchall() == [(2, 25)]
        names = {name for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()}
    assert {"s.t", "s.u"} <= names
    tables = audited(log, small, {"big": 2}, big=[days(small, ("2024-03-02", 20))])
    assert tables["big"].equal


# sources


def held(small: ProjectPlan, *rows: tuple[str, str, int]) -> pa.Table:
    return changes(small, list(rows)).rows


def sourced(log: Log, small: ProjectPlan, source: Told, epoch: int = 2) -> list[Compared]:
    return list(audit_sources(log, small, [source], epoch))


def test_tables_are_compared_with_what_their_source_holds_now(log: Log, small: ProjectPlan) -> None:
    source = Told("s")
    empty = small.tables["s.u"].arrow.empty_table()
    source.holds = {"t": held(small, ("a", "2024-03-01", 1), ("b", "2024-03-01", 7), ("c", "2024-03-02", 20)), "u": empty}
    t, u = sourced(log, small, source)
    assert (t.name, t.epoch, t.expected, t.found, t.missing, t.extra, len(t.examples)) == ("s.t", 2, 3, 3, 1, 1, 2)
    assert (t.differs, u.equal, u.name) == (True, True, "s.u")
    source.holds["t"] = held(small, ("a", "2024-03-01", 1), ("b", "2024-03-01", 4))
    assert sourced(log, small, source, epoch=1)[0].equal


def test_a_source_that_keeps_nothing_cannot_be_compared(log: Log, small: ProjectPlan) -> None:
    source = Told("s")
    source.reads_anew = False
    (t, _) = sourced(log, small, source)
    assert (t.expected, t.found, t.missing, t.extra, t.comparable) == (3, 0, 0, 0, False)
    assert t.examples == ("its source cannot be listed: it keeps nothing that is in the log",)


def test_tables_of_other_sources_are_left_out(log: Log, small: ProjectPlan) -> None:
    assert sourced(log, small, Told("other")) == []
