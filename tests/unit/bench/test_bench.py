"""The benchmarks' events have the shares that the page tells, their truth is right, and the page is made of what was found."""

import csv
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from bench.bare import batch, loaded, plan
from bench.events import MIX, Kind, Stream, make, rankings
from bench.events.truth import differences
from bench.events.write import write_events, write_load
from bench.figures import NAMES, Bar, Figure, Result, keep, kept, number, rows
from bench.page import PAGE, render
from bench.project import flat_folder
from topline.live.dataflow import Dataflow

Sale = dict[str, str]
ROUNDS = 3


@pytest.fixture(scope="module")
def stream() -> Stream:
    return make(4_000, 5_000)


@pytest.fixture(scope="module")
def truth(stream: Stream) -> dict[str, pa.Table]:
    return rankings(stream)


def test_each_kind_of_event_has_its_share(stream: Stream) -> None:
    found = Counter(stream.kind.tolist())
    assert {kind: found[kind] for kind in MIX} == {kind: round(share * 5_000) for kind, share in MIX.items()}


def test_the_same_seed_makes_the_same_events() -> None:
    one, two = make(500, 400), make(500, 400)
    assert one.fields(one.sale, one.version)[4].tolist() == two.fields(two.sale, two.version)[4].tolist()
    assert make(500, 400, seed=2).sale.tolist() != one.sale.tolist()


def test_an_update_changes_the_sale_and_a_redelivery_does_not(stream: Stream) -> None:
    last: dict[int, int] = {}
    for kind, sale, version in zip(stream.kind.tolist(), stream.sale.tolist(), stream.version.tolist(), strict=True):
        assert version == last.get(sale, 0) + (kind == Kind.UPDATE)
        last[sale] = version


def test_the_files_give_the_rankings_that_are_expected(stream: Stream, truth: dict[str, pa.Table], tmp_path: Path) -> None:
    """Read as plainly as can be: the last row of a sale counts, withdrawn files take theirs along."""
    write_load(stream, tmp_path, "csv", ROUNDS)
    sales = {row["sale_id"]: row for path in sorted(tmp_path.iterdir()) for row in _sound(path)}
    withdrawn = {row["sale_id"] for path in tmp_path.glob("withdrawn-*") for row in _sound(path)}
    for number_ in range(ROUNDS):
        write_events(stream, tmp_path, "csv", number_, ROUNDS)
    assert not list(tmp_path.glob("withdrawn-*"))
    sales.update({row["sale_id"]: row for path in sorted(tmp_path.glob("events-*")) for row in _sound(path)})
    counted = [sale for key, sale in sales.items() if key not in withdrawn]
    assert len(withdrawn) == round(5_000 * MIX[Kind.DELETE])
    assert set(_cities(counted)) == set(_tuples(truth["top_sales_by_city"]))
    assert set(_men(counted)) == set(_tuples(truth["top_salesmen"]))


def test_the_engine_gives_the_rankings_that_are_expected(stream: Stream, truth: dict[str, pa.Table]) -> None:
    with flat_folder() as folder:
        dataflow = Dataflow(plan(folder))
    for part in loaded(stream):
        dataflow.apply([part])
    for begin in range(0, len(stream), 1_000):
        dataflow.apply([batch(stream, begin, begin + 1_000)])
    for name, expected in truth.items():
        assert differences(expected, pa.concat_tables(dataflow.all_rows(name))) == 0
    assert dataflow.count("rejected_sales") == round(5_000 * MIX[Kind.BROKEN])
    dataflow.close()


def test_a_wrong_result_is_seen(truth: dict[str, pa.Table]) -> None:
    right = truth["top_salesmen"]
    assert differences(right, right) == 0
    assert differences(right, right.slice(1)) == 1
    assert differences(right, pa.concat_tables([right, right.slice(0, 1)])) == 1


def test_the_page_is_made_of_the_words_and_the_kept_results() -> None:
    assert PAGE.read_text() == render(NAMES), "stale: python -m bench.page"


def test_a_result_is_kept_and_shown_with_its_bar(tmp_path: Path) -> None:
    figure = Figure("rows", "rows/s", (90.0, 120.0, 110.0), (2.0, 1.0, 4.0), 300, "rows", Bar(100), "as told")
    facts = dict.fromkeys(("processor", "cores", "memory", "system", "python", "packages", "load"), "1")
    result = Result("whole", "small", "abc", "2026-11-21T10:00+00:00", facts, 12.0, (figure, replace(figure, bar=None)))
    keep(result, tmp_path)
    assert kept("whole", tmp_path) == replace(result, figures=tuple(_listed(one) for one in result.figures))
    page = render(["whole"], tmp_path)
    assert "| rows | 110 rows/s | 90 - 120 (3) | 2 | 150 rows | ≥ 100 rows/s | yes |" in page
    assert "- rows: as told" in page
    assert "`make bench ONLY=drain`" in page  # not measured


def test_a_bar_that_is_not_held_says_no() -> None:
    assert rows([Figure("x", "ms", [30.0], bar=Bar(20, at_most=True))])[0][-1] == "no"


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (1234567.0, "1,230,000"), (0.01234, "0.0123"), (99.96, "100")])
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def _listed(figure: Figure) -> Figure:
    """As JSON has it."""
    return replace(figure, values=list(figure.values), cpu=list(figure.cpu))


def _sound(path: Path) -> list[Sale]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row and row["amount"].replace(".", "", 1).isdigit()]


def _day(sale: Sale) -> object:
    return datetime.fromisoformat(sale["sold_at"]).astimezone(ZoneInfo("Europe/Rome")).date()


def _average(amounts: list[Decimal]) -> Decimal:
    exact = Fraction(sum(amounts)) / len(amounts)
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def _cities(sales: list[Sale]) -> list[tuple[object, ...]]:
    groups: defaultdict[tuple[object, ...], list[Decimal]] = defaultdict(list)
    for sale in sales:
        groups[_day(sale), sale["country"], sale["region"], sale["city"]].append(Decimal(sale["amount"]))
    return [(*group, sum(found), len(found), _average(found), max(found)) for group, found in groups.items()]


def _men(sales: list[Sale]) -> list[tuple[object, ...]]:
    days: defaultdict[object, defaultdict[str, list[Sale]]] = defaultdict(lambda: defaultdict(list))
    for sale in sales:
        days[_day(sale)][sale["salesman_id"]].append(sale)
    return [row for day, men in days.items() for row in _best(day, men)]


def _best(day: object, men: dict[str, list[Sale]]) -> list[tuple[object, ...]]:
    found = []
    for man, sales in men.items():
        amounts = [Decimal(sale["amount"]) for sale in sales]
        cities = {(sale["country"], sale["region"], sale["city"]) for sale in sales}
        name = max(sale["salesman_name"] for sale in sales)
        found.append((day, man, name, sum(amounts), len(sales), _average(amounts), len(cities)))
    best = sorted(found, key=lambda row: (-Decimal(str(row[3])), row[1]))[:100]
    return [(*row, rank) for rank, row in enumerate(best, 1)]


def _tuples(table: pa.Table) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]
