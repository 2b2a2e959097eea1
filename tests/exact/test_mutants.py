"""Given the engine with a fault made by hand, when histories are lived through, then one of the seeds notices."""

import pytest

from tests.exact.mutants import MUTANTS, Mutant, broken
from tests.exact.runs import FailedError, Totals, live_through
from tests.exact.test_histories import SEEDS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_fault_in_the_engine_is_noticed(mutant: Mutant) -> None:
    seeds = [mutant.seed, *(seed for seed in SEEDS if seed != mutant.seed)]
    with broken(mutant):
        assert any(fails(seed) for seed in seeds), f"no history notices: {mutant.what}"


def fails(seed: int) -> bool:
    try:
        live_through(seed, Totals())
    except FailedError:
        return True
    return False


def test_the_engine_without_a_fault_is_not_blamed() -> None:
    assert not fails(SEEDS[0])
