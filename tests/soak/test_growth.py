"""The judgement of the soak must see a leak, and must not take noise, saws or more rows for one."""

import random
from collections.abc import Callable

import pytest

from tests.soak.growth import Bound, growth

TIMES = [3.0 * number for number in range(200)]
LEVEL = [1000.0] * len(TIMES)
BOUND = Bound(0.05, 1.0)
NOISE = random.Random(5)
SERIES: dict[str, tuple[Callable[[int], float], bool]] = {
    "level": (lambda _n: 300.0, False),
    "noise": (lambda _n: 300.0 + NOISE.uniform(-30, 30), False),
    "a saw": (lambda n: 300.0 + n % 20, False),
    "outliers": (lambda n: 3000.0 if n % 17 == 0 else 300.0, False),
    "falls": (lambda n: 300.0 - n, False),
    "a leak": (lambda n: 300.0 + n / 5, True),
    "a leak under a saw": (lambda n: 300.0 + n / 5 + n % 20, True),
    "a leak under noise": (lambda n: 300.0 + n / 5 + NOISE.uniform(-30, 30), True),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_leak_is_seen_and_nothing_else_is(name: str) -> None:
    made, grows = SERIES[name]
    assert growth(name, TIMES, [made(number) for number in range(len(TIMES))], LEVEL, BOUND).grows is grows


def test_a_measure_may_grow_as_the_live_rows_do() -> None:
    values, rows = [300.0 + number for number in range(len(TIMES))], [1000.0 + 4 * number for number in range(len(TIMES))]
    assert not growth("with the rows", TIMES, values, rows, BOUND).grows
    assert growth("without them", TIMES, values, LEVEL, BOUND).grows


def test_two_samples_tell_nothing() -> None:
    assert growth("short", [0.0, 1.0], [1.0, 100.0], [1.0, 1.0], BOUND).gained == 0
