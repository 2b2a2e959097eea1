"""Rows sent over HTTP: small requests and large ones, what they cost, and how soon they are in the log.

python -m bench.push [ROWS] prints requests/s and CPU-ms of `topline serve` and of `topline run`, and rows/s of large bodies.
"""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.api import cpu
from bench.end_to_end import TOPLINE
from topline.embedded import EmbeddedPostgres

MACROS = Path(__file__).parents[1] / "sales" / "macros"
FIELDS = ("id", "sold_at", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency")
COLUMNS = "".join(
    f"\n          - {{name: {name}, data_type: {'timestamptz' if name == 'sold_at' else 'text'}}}" for name in FIELDS
)
FILES = {
    "topline.yml": "project: push\nsources: {web: {kind: push, max_body_bytes: 67108864}}\n",
    "dbt_project.yml": "name: push\n",
    "models/live/sources.yml": "sources:\n  - name: web\n    tables:\n      - name: sales\n"
    f"        config: {{meta: {{key: [id]}}}}\n        columns:{COLUMNS}\n",
    "models/live/models.yml": "models: [{name: sales_by_city, config: {meta: {key: [city]}}}]\n",
    "models/live/sales_by_city.sql": "SELECT city, COUNT(*) AS sales FROM {{ source('web', 'sales') }} GROUP BY city\n",
}
PATH = "/api/v1/ingest/sales"
CLIENTS, SECONDS = 8, 5.0


def main(rows: int) -> None:
    with project() as folder:
        with process(folder, "serve") as (pid, address):
            small(address, pid, "topline serve")
        with process(folder, "run") as (pid, address):
            small(address, pid, "topline run")
            soon(address)
            for kind, body in (("application/x-ndjson", ndjson(rows)), ("text/csv", csv(rows))):
                large(address, pid, kind, body, rows)


@contextlib.contextmanager
def project() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        shutil.copytree(MACROS, folder / "macros")
        with EmbeddedPostgres(folder / ".topline") as server:
            yield folder
        shutil.rmtree(server.place, ignore_errors=True)  # as root it lies in /var/tmp


@contextlib.contextmanager
def process(folder: Path, command: str) -> Iterator[tuple[int, str]]:
    """Its pid, and the address of its API."""
    with subprocess.Popen([*TOPLINE, command, "--set", "api.port=0"], cwd=folder, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr is not None
        try:
            found = re.search(r"http://(\S+)", started.stderr.readline())
            if found is None:
                raise SystemExit(f"`topline {command}` did not say its address")
            yield started.pid, found[1]
        finally:
            started.terminate()


def sale(number: int) -> tuple[str, ...]:
    city = number % 500
    amount = f"{number % 9000 + 1}.{number % 100:02d}"
    return (
        f"S{number:09d}",
        "2026-11-21T10:00:00Z",
        "Italy",
        f"R{city % 20}",
        f"City {city}",
        f"{number % 2000}",
        "Ada",
        amount,
        "EUR",
    )


def ndjson(rows: int) -> bytes:
    return "\n".join(json.dumps(dict(zip(FIELDS, sale(number), strict=True))) for number in range(rows)).encode()


def csv(rows: int) -> bytes:
    return "\n".join([",".join(FIELDS), *(",".join(sale(number)) for number in range(rows))]).encode()


def small(address: str, pid: int, what: str) -> None:
    """One row a request, from several clients at once, as fast as they are answered."""
    times: list[float] = []
    before, begin = cpu(pid), time.monotonic()
    clients = [threading.Thread(target=_client, args=(address, number, begin + SECONDS, times)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds, spent = time.monotonic() - begin, cpu(pid) - before
    times.sort()
    p50, p99 = times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
    rate, each = len(times) / seconds, spent / len(times) * 1000
    shown = f"{rate:,.0f} requests/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {each:.2f} CPU-ms each"
    print(f"one row a request, {CLIENTS} clients, `{what}`: {shown}")


def _client(address: str, number: int, end: float, times: list[float]) -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    sent = number
    while time.monotonic() < end:
        asked = time.monotonic()
        post(connection, "application/json", json.dumps(dict(zip(FIELDS, sale(sent), strict=True))).encode())
        times.append(time.monotonic() - asked)
        sent += CLIENTS


def post(connection: http.client.HTTPConnection, kind: str, body: bytes) -> dict[str, str]:
    connection.request("POST", PATH, body, {"Content-Type": kind})
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 202:
        raise SystemExit(f"{answer.status}: {data.decode()}")
    found: dict[str, str] = json.loads(data)
    return found


def soon(address: str) -> None:
    """From sending a row to its place in the log, one at a time."""
    connection = http.client.HTTPConnection(address, timeout=30)
    times = []
    for number in range(100):
        begin = time.monotonic()
        last = post(connection, "application/json", json.dumps(dict(zip(FIELDS, sale(number), strict=True))).encode())["last"]
        wait(connection, last)
        times.append((time.monotonic() - begin) * 1000)
        time.sleep(0.03)
    times.sort()
    print(f"from POST to the log, one at a time: p50 {times[50]:.0f} ms, p99 {times[98]:.0f} ms")


def wait(connection: http.client.HTTPConnection, last: str) -> None:
    while True:
        connection.request("GET", PATH)
        if json.loads(connection.getresponse().read())["committed"] >= last:
            return
        time.sleep(0.002)


def large(address: str, pid: int, kind: str, body: bytes, rows: int) -> None:
    connection = http.client.HTTPConnection(address, timeout=60)
    before, begin = cpu(pid), time.monotonic()
    last = post(connection, kind, body)["last"]
    accepted, spent = time.monotonic() - begin, cpu(pid) - before
    wait(connection, last)
    logged = time.monotonic() - begin
    print(
        f"{rows:,} rows of {kind} ({len(body) / 1e6:.0f} MB): accepted in {accepted:.1f} s ({rows / accepted:,.0f} rows/s, "
        f"{spent:.1f} CPU-s), in the log after {logged:.1f} s"
    )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:] or ["100000"]))
