"""Rows sent over HTTP: small requests and large ones, what they cost, and how soon they are in the log."""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure
from bench.meter import tree_cpu as cpu
from bench.project import TOPLINE
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
SIZES = {"small": (50_000, 3.0), "full": (200_000, 10.0)}
"""Rows of a large body, and seconds of small requests."""
CLIENTS = 8


def run(scale: str) -> Iterator[Figure]:
    rows, seconds = SIZES[scale]
    with project() as folder:
        with process(folder, "serve") as (pid, address):
            yield from small(address, pid, "topline serve", seconds)
        with process(folder, "run") as (pid, address):
            yield from small(address, pid, "topline run", seconds)
            yield from soon(address)
            for kind, body in (("application/x-ndjson", ndjson(rows)), ("text/csv", csv(rows))):
                yield from large(address, pid, kind, body, rows)


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
    with subprocess.Popen(
        [*TOPLINE, command, "--set", "api.port=0"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as started:
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


def small(address: str, pid: int, what: str, seconds: float) -> Iterator[Figure]:
    """One row a request, from several clients at once, as fast as they are answered."""
    times: list[float] = []
    before, begin = cpu(pid), time.monotonic()
    clients = [threading.Thread(target=_client, args=(address, number, begin + seconds, times)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    taken, spent = time.monotonic() - begin, cpu(pid) - before
    times.sort()
    name = f"one row a request, {CLIENTS} clients, `{what}`"
    yield Figure(name, "requests/s", [len(times) / taken], [spent], len(times), "requests")
    for share in (0.5, 0.99):
        yield Figure(f"{name}, p{share * 100:.0f}", "ms", [times[int(len(times) * share)] * 1000])


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


def soon(address: str) -> Iterator[Figure]:
    """From sending a row to its place in the log, one at a time."""
    connection = http.client.HTTPConnection(address, timeout=30)
    times = []
    for number in range(100):
        begin = time.monotonic()
        last = post(connection, "application/json", json.dumps(dict(zip(FIELDS, sale(number), strict=True))).encode())["last"]
        wait(connection, last)
        times.append((time.monotonic() - begin) * 1000)
        time.sleep(0.03)
    yield Figure("from POST to the log, one at a time", "ms", times)


def wait(connection: http.client.HTTPConnection, last: str) -> None:
    while True:
        connection.request("GET", PATH)
        if json.loads(connection.getresponse().read())["committed"] >= last:
            return
        time.sleep(0.002)


def large(address: str, pid: int, kind: str, body: bytes, rows: int) -> Iterator[Figure]:
    connection = http.client.HTTPConnection(address, timeout=60)
    before, begin = cpu(pid), time.monotonic()
    last = post(connection, kind, body)["last"]
    accepted, spent = time.monotonic() - begin, cpu(pid) - before
    wait(connection, last)
    note = f"{len(body) / 1e6:.0f} MB; in the log after {time.monotonic() - begin:.1f} s"
    yield Figure(f"{rows:,} rows of {kind} accepted", "rows/s", [rows / accepted], [spent], rows, "rows", note=note)
