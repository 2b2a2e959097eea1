"""The top 10 of a day over HTTP: latency at a fixed number of requests a second, and the server's CPU a request.

python -m bench.api [REQUESTS_A_SECOND] [SECONDS] on the shipped project with generated sales.
"""

import http.client
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.end_to_end import TOPLINE, api_of, project, run

CLIENTS = 8
PATH = "/api/v1/sales/city?limit=10"


def main(rate: int, seconds: int) -> None:
    with project() as folder:
        run(folder, "generate", "--count", "20000")
        run(folder, "run", "--until-idle")
        engine = subprocess.Popen([*TOPLINE, "run", "--set", "api.port=0"], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            address = urlsplit(api_of(folder)).netloc
            load(address, rate, 2)
            before = cpu(engine.pid)
            times = load(address, rate, seconds)
            spent = cpu(engine.pid) - before
        finally:
            engine.terminate()
            engine.wait(60)
    p50, p99 = times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
    each = spent / len(times) * 1000
    answered = len(times) / seconds
    print(f"{answered:,.0f} of {rate:,} requests/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, {each:.2f} CPU-ms each")


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


def cpu(pid: int) -> float:
    """CPU-seconds of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    main(*(words + [200, 10][len(words) :]))
