"""The planned stream, without any I/O: seeded, complete in its kinds, and the same however it is read."""

import csv
from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.generate.events import KINDS, Drop, Event, Kind
from topline.generate.options import Options, Plan
from topline.generate.planner import Planner

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


def stream(plan: Plan, steps: int, history: int = 300, rate: float = 40) -> list[Event]:
    planner = Planner(plan)
    events = list(planner.history(history))
    for step in range(1, steps + 1):
        events += planner.step(step / rate)
    return events + list(planner.finish(steps / rate))


def kinds_of(events: list[Event]) -> dict[str, Counter[Kind]]:
    found: dict[str, Counter[Kind]] = {"shop": Counter(), "branches": Counter()}
    for event in events:
        found[event.source] += event.kinds
    return found


def test_same_seed_same_events() -> None:
    assert repr(stream(Plan(start=START), 500)) == repr(stream(Plan(start=START), 500))


def test_another_seed_other_events() -> None:
    assert repr(stream(Plan(start=START), 100)) != repr(stream(Plan(start=START, seed=8), 100))


def test_runs_share_no_order_and_no_file() -> None:
    first, second = stream(Plan(start=START), 200), stream(Plan(start=START, run=2), 200)
    assert not orders(first) & orders(second)
    assert not files(first) & files(second)


def orders(events: list[Event]) -> set[object]:
    return {op.row[0] for event in events for op in event.ops if op.table == "orders"}


def files(events: list[Event]) -> set[str]:
    return {drop.name for event in events for drop in event.drops}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("history", [0, 400])
def test_every_kind_occurs_per_source_within_ten_seconds(seed: int, history: int) -> None:
    events = stream(Plan(start=START, seed=seed), 400, history)
    streamed = kinds_of([event for event in events if event.at > 0])
    assert {source: frozenset(kinds) for source, kinds in streamed.items()} == KINDS


def test_every_fault_occurs_within_ten_seconds() -> None:
    facts = [fact for event in stream(Plan(start=START), 400) for fact in event.facts if fact.row]
    shop = {fact.row[-1] for fact in facts if fact.table == "orders" and fact.row}
    branches = {fact.row[-1] for fact in facts if fact.table == "branch_sales" and fact.row}
    assert shop >= {"amount", "currency", "time", "cancelled", None}
    assert branches >= {"amount", "currency", "time", "city", "salesman_id", None}


def test_a_long_stream_keeps_to_its_rates() -> None:
    found = kinds_of(stream(Plan(start=START), 6_000))
    for kinds in found.values():
        assert 0.7 < kinds[Kind.NEW] / kinds.total() < 0.9
        assert min(kinds[kind] for kind in kinds) >= 3


def test_city_names_repeat_across_regions_and_some_have_none() -> None:
    places = {fact.row for fact in Planner(Plan(start=START)).history(0).__next__().facts if fact.table == "customers"}
    cities = Counter(row[2] for row in places if row)
    assert cities["Springfield"] == 3
    assert any(row and row[1] == "" for row in places)


def test_history_lies_before_the_start_and_the_stream_goes_with_the_clock() -> None:
    events = stream(Plan(start=START), 200)
    times = [(event.at, op.row[3]) for event in events for op in event.ops if op.table == "orders" and op.verb == "insert"]
    assert all(isinstance(time, datetime) and time.timestamp() <= START.timestamp() + at for at, time in times if time)


@pytest.mark.parametrize(
    ("values", "word"), [({"rate": 0}, "rate is 0"), ({"rate": 1e9}, "rate is"), ({"days": 0}, "days is 0")]
)
def test_options_out_of_range_are_refused(values: dict[str, float], word: str, tmp_path: object) -> None:
    with pytest.raises(ValueError, match=word):
        Options(shop_dsn="", folder=tmp_path, ledger_dsn="", **values)  # type: ignore[arg-type]


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        Plan(start=datetime(2026, 1, 1))


# A reader of files as DESIGN has it: rows belong to the file read last that carried their key; a clean file that is read
# again retracts the rows that it still owns and does not hold any more.


class Reader:
    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, list[str]]] = {}

    def read(self, drop: Drop) -> None:
        rows = [split(line) for line in drop.lines[1:]]
        held = {row[0]: row for row in rows if row}
        for key, row in held.items():
            self.rows[key] = (drop.name, row)
        if None not in rows:
            for key in [key for key, (owner, _) in self.rows.items() if owner == drop.name and key not in held]:
                del self.rows[key]

    def amounts(self) -> dict[str, str]:
        return {key: row[7] for key, (_, row) in self.rows.items()}


def split(line: bytes) -> list[str] | None:
    try:
        fields = next(csv.reader([line.decode()]))
    except UnicodeDecodeError:
        return None
    return fields if len(fields) == 9 and fields[0] else None


def read(drops: list[Drop]) -> dict[str, str]:
    reader = Reader()
    for drop in drops:
        reader.read(drop)
    return reader.amounts()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    steps=st.integers(50, 900),
    missed=st.floats(0, 0.9),
    bulk=st.booleans(),
    rows=st.sampled_from([20, 200]),
)
def test_files_read_live_with_versions_missed_or_from_scratch_say_the_same(
    seed: int, steps: int, missed: float, bulk: bool, rows: int
) -> None:
    events = stream(Plan(start=START, seed=seed, bulk=bulk, file_rows=rows), steps, 100)
    drops = [drop for event in events for drop in event.drops]
    last = {drop.name: index for index, drop in enumerate(drops)}
    random = Random(seed)
    seen = [drop for index, drop in enumerate(drops) if last[drop.name] == index or random.random() >= missed]
    scratch = [drop for index, drop in enumerate(drops) if last[drop.name] == index]
    assert read(drops) == read(seen) == read(scratch)
    assert set(read(drops)) == readable(events)


def readable(events: list[Event]) -> set[str]:
    """Ids of the sales that split into fields, by the facts."""
    last = {fact.key: fact.row for event in events for fact in event.facts if fact.table == "branch_sales"}
    return {key for key, row in last.items() if row is not None}
