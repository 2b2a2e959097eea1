"""Given random histories of the shipped tables, when any batch has been folded, then the marts are what DuckDB makes of their
SQL and what plain Python counts; TPC-H's with few and with many places."""

from random import Random

import pytest

from tests.exact.checking import check
from tests.exact.history import Histories
from tests.exact.shipped import SALES, TPCH, rankings, sales_plan, specs, tpch_plan


@pytest.mark.parametrize("seed", range(2))
def test_the_shipped_rankings_are_what_python_counts(seed: int) -> None:
    plan = sales_plan()
    tables = specs(plan, SALES)
    done = check(plan, tables, Histories(Random(seed), tables).history(6), rankings)
    assert done.rows > 300


@pytest.mark.parametrize("places", [2, 100])
def test_the_order_system_of_tpch(places: int) -> None:
    plan = tpch_plan(places)
    tables = specs(plan, TPCH)
    done = check(plan, tables, Histories(Random(places), tables).history(7), lambda _: {})
    assert done.rows > 60
