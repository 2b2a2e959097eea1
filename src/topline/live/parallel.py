"""Steps that wait only for those that they read: the branches of a graph go on side by side."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from graphlib import TopologicalSorter


def run_all(graph: Mapping[int, Sequence[int]], work: Callable[[int], None], workers: Executor) -> None:
    """Call `work` with each number of the graph once those that it waits for (graph[number]) are done, on the workers.

    What `work` raises is raised here, when nothing is under way any more; what waits for it is not begun.
    """
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    running: dict[Future[None], int] = {}
    try:
        while sorter.is_active():
            running |= {workers.submit(work, number): number for number in sorter.get_ready()}
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number = running.pop(future)
                future.result()
                sorter.done(number)
    finally:
        wait(running)
