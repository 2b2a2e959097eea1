"""Steps of a graph on several threads: each after those that it waits for, and nothing left under way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Lock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.live.interner import Interner
from topline.live.parallel import run_all


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


graphs = st.integers(1, 12).flatmap(
    lambda count: st.tuples(*(st.sets(st.integers(0, max(number - 1, 0))) for number in range(count)))
)


@given(graphs)
def test_each_comes_once_after_those_that_it_waits_for(workers: ThreadPoolExecutor, waits: tuple[set[int], ...]) -> None:
    graph = {number: sorted(before - {number}) for number, before in enumerate(waits)}
    done: list[int] = []
    lock = Lock()

    def work(number: int) -> None:
        with lock:
            assert set(graph[number]) <= set(done)
            done.append(number)

    run_all(graph, work, workers)
    assert sorted(done) == list(graph)


def test_those_that_do_not_wait_for_each_other_go_on_at_once(workers: ThreadPoolExecutor) -> None:
    both = Barrier(2, timeout=30)
    run_all({0: [], 1: [0], 2: [0], 3: [1, 2]}, lambda number: both.wait() if number in (1, 2) else None, workers)  # type: ignore[arg-type]


def test_what_one_raises_is_raised_when_the_other_has_ended_and_nothing_follows(workers: ThreadPoolExecutor) -> None:
    failed, ended = Event(), list[int]()

    def work(number: int) -> None:
        if number == 0:
            failed.set()
            raise ValueError("the first")
        assert failed.wait(30)
        ended.append(number)

    with pytest.raises(ValueError, match="the first"):
        run_all({0: [], 1: [], 2: [1], 3: [0]}, work, workers)
    assert ended == [1]


def test_text_may_be_interned_and_read_by_threads_at_once() -> None:
    interner, start = Interner(), Barrier(2, timeout=30)

    def words(number: int) -> None:
        start.wait()
        for round_ in range(40):
            texts = pa.array([f"{'shared' if i % 3 else number} {round_ * 500 + i}" for i in range(2000)])
            codes = interner.intern(texts)
            assert interner.text(codes).equals(texts)
            assert (interner.intern(texts) == codes).all()

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(words, number) for number in range(2)]:
            future.result()
    every = interner.text(np.arange(len(interner)))
    assert len(every.unique()) == len(interner)
