"""The top 10 of a day over HTTP: latency at a fixed number of requests a second, and the server's CPU a request."""

import http.client
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.figures import Bar, Figure
from bench.meter import tree_cpu
from bench.project import Engine, running, shipped

SIZES = {"small": (3, 2), "full": (10, 5)}
"""Seconds of a measurement, and how many there are at each rate."""
RATES = (500, 1_000)
CLIENTS = 8
PATH = "/api/v1/sales/city?limit=10"


def run(scale: str) -> Iterator[Figure]:
    seconds, times = SIZES[scale]
    with shipped() as project:
        project.topline("generate", "--count", "20000")
        project.run()
        with running(project) as engine:
            load(_address(engine), RATES[0], 2)
            for rate in RATES:
                yield from _measured(engine, rate, seconds, times)


def _measured(engine: Engine, rate: int, seconds: int, times: int) -> Iterator[Figure]:
    runs, cpu = [], []
    for _ in range(times):
        before = tree_cpu(engine.pid)
        runs.append(load(_address(engine), rate, seconds))
        cpu.append(tree_cpu(engine.pid) - before)
    answered = sum(map(len, runs)) / times / seconds
    what, note = f"top 10 of a day at {rate:,} requests/s", f"{answered:,.0f} a second were answered"
    middle = [one[len(one) // 2] * 1000 for one in runs]
    slow = [one[int(len(one) * 0.99)] * 1000 for one in runs]
    yield Figure(f"{what}, p50", "ms", middle, cpu, answered * seconds, "requests", note=note)
    yield Figure(f"{what}, p99", "ms", slow, bar=Bar(20, at_most=True) if rate == max(RATES) else None)


def _address(engine: Engine) -> str:
    return urlsplit(engine.url).netloc


def load(address: str, rate: int, seconds: int) -> list[float]:
    """Latencies in seconds, sorted. Each client asks at its own even pace; a late one does not catch up."""
    times: list[float] = []
    clients = [threading.Thread(target=_client, args=(address, rate / CLIENTS, seconds, times)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sorted(times)


def _client(address: str, rate: float, seconds: int, times: list[float]) -> None:
    connection = http.client.HTTPConnection(address, timeout=10)
    begin = time.monotonic()
    due = begin
    while due < begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        asked = time.monotonic()
        connection.request("GET", PATH)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{answer.status}: {body.decode()}")
        times.append(time.monotonic() - asked)
        due = max(due + 1 / rate, time.monotonic() - 0.1)
