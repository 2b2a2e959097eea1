"""Given random models and random histories, when any batch has been folded, then every result, the replica that took only
dirty keys and every table are what DuckDB and SQLite compute from scratch."""

import pytest

from tests.exact.runs import HISTORIES, Totals, live_through

SEEDS = range(18)  # at 6 models each more than there are pairs of operators


@pytest.mark.parametrize("seed", SEEDS)
def test_live_results_equal_a_recomputation_after_every_batch(seed: int) -> None:
    totals = Totals()
    live_through(seed, totals)
    assert totals.histories == HISTORIES
    assert totals.pairs >= 6 * HISTORIES
