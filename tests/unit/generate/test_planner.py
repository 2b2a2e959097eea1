"""The planned stream, without any I/O: seeded, complete in its kinds, and the same however it is read."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.integration.generate.recompute import partner_sale
from topline.generate.events import KINDS, SOURCES, Drop, Event, Kind, Source
from topline.generate.options import Options, Plan
from topline.generate.planner import Planner, turns

ZONE = ZoneInfo("Europe/Rome")
START = datetime(2026, 11, 21, 10, tzinfo=UTC)


def stream(plan: Plan, steps: int, history: int = 300, rate: float = 40) -> list[Event]:
    planner = Planner(plan)
    events = list(planner.history(history))
    for step in range(1, steps + 1):
        events += planner.step(step / rate)
    return events + list(planner.finish(steps / rate))


def kinds_of(events: list[Event]) -> dict[str, Counter[Kind]]:
    found: dict[str, Counter[Kind]] = {source: Counter() for source in SOURCES}
    for event in events:
        found[event.source] += event.kinds
    return found


def test_same_seed_same_events() -> None:
    assert repr(stream(Plan(start=START), 500)) == repr(stream(Plan(start=START), 500))


def test_another_seed_other_events() -> None:
    assert repr(stream(Plan(start=START), 100)) != repr(stream(Plan(start=START, seed=8), 100))


def test_runs_share_no_order_no_file_and_no_entry() -> None:
    first, second = stream(Plan(start=START), 200), stream(Plan(start=START, run=2), 200)
    for found in (orders, files, entries):
        assert found(first)
        assert not found(first) & found(second)


def orders(events: list[Event]) -> set[object]:
    return {op.row[0] for event in events for op in event.ops if op.table == "orders"}


def files(events: list[Event]) -> set[str]:
    return {drop.name for event in events for drop in event.drops}


def entries(events: list[Event]) -> set[str]:
    return {entry.id for event in events for entry in event.entries}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("history", [0, 400])
def test_every_kind_occurs_per_source_within_ten_seconds(seed: int, history: int) -> None:
    events = stream(Plan(start=START, seed=seed), 400, history)
    streamed = kinds_of([event for event in events if event.at > 0])
    assert {source: frozenset(kinds) for source, kinds in streamed.items()} == KINDS


def test_every_fault_occurs_within_ten_seconds() -> None:
    facts = [fact for event in stream(Plan(start=START), 400) for fact in event.facts if fact.row]
    shop = {fact.row[-1] for fact in facts if fact.table == "orders" and fact.row}
    assert shop >= {"amount", "currency", "time", "cancelled", None}
    for table in ("branch_sales", "partner_sales"):
        faults = {fact.row[-1] for fact in facts if fact.table == table and fact.row}
        assert faults >= {"amount", "currency", "time", "city", "salesman_id", None}


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
    ("values", "word"),
    [
        ({"rate": 0}, "rate is 0"),
        ({"rate": 1e9}, "rate is"),
        ({"days": 0}, "days is 0"),
        ({"shares": {"shop": -1}}, "whole number"),
        ({"shares": {"shopp": 1}}, "shop, branches, partner"),
        ({"shares": {"partner": 1}}, "no source gets any sale"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, object], word: str, tmp_path: object) -> None:
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


# The partner: entries by the time of their last change.


@settings(max_examples=25, deadline=None)
@given(shares=st.fixed_dictionaries({source: st.integers(0, 7) for source in SOURCES}).filter(lambda s: any(s.values())))
def test_each_source_gets_its_share_evenly(shares: dict[Source, int]) -> None:
    found = turns({source: share for source, share in shares.items() if share})
    for source, share in shares.items():
        assert found.count(source) == share
        for end in range(len(found)):
            assert abs(found[:end].count(source) - share * end / len(found)) <= 1.5


def test_a_source_without_a_share_gets_nothing() -> None:
    events = stream(Plan(start=START, shares={"partner": 2, "shop": 1}), 300)
    assert {event.source for event in events} == {"shop", "partner"}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), steps=st.integers(1, 900), bulk=st.booleans(), run=st.integers(1, 3))
def test_the_partners_book_counts_for_what_the_facts_say(seed: int, steps: int, bulk: bool, run: int) -> None:
    """Entries as a clerk would read them come to the same sales as the facts."""
    events = stream(Plan(start=START, seed=seed, bulk=bulk, run=run, shares={"partner": 1}), steps, 100)
    book = {entry.id: entry for event in events for entry in event.entries}
    facts = {fact.key: fact.row for event in events for fact in event.facts if fact.table == "partner_sales"}
    counted = {sale.sale_id: sale for entry in book.values() if (sale := partner_sale(entry, "EUR"))}
    assert set(counted) == {key for key, row in facts.items() if row and row[-1] is None}
    for key, sale in counted.items():
        instant, day, *rest, _ = facts[key] or ()
        assert sale.business_date == (instant.astimezone(ZONE).date() if isinstance(instant, datetime) else day)
        assert list(sale[3:]) == rest
    readable = {entry.id for entry in book.values() if entry.entry_no and entry.state == "A"}
    assert readable == {key for key, row in facts.items() if row}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), bulk=st.booleans(), rate=st.sampled_from([1, 40, 5000]))
def test_whoever_reads_on_from_a_little_before_the_last_change_misses_nothing(seed: int, bulk: bool, rate: float) -> None:
    """Never is an entry noted more than two seconds before one that could be read already."""
    newest, back = "", timedelta(0)
    events = stream(Plan(start=START, seed=seed, bulk=bulk, shares={"partner": 1}), 400, 100, rate)
    for event in (event for event in events if event.source == "partner"):
        noted = {entry.changed_at for entry in event.entries}
        assert len(noted) == 1
        if newest:
            back = max(back, datetime.fromisoformat(newest) - datetime.fromisoformat(min(noted)))
        newest = max(newest, *noted)
    assert back <= timedelta(seconds=2)
    assert (back > timedelta(0)) is not bulk
