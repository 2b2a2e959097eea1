"""Rows that are sent over a bad network: the sender sends again what was not answered, and each counts once."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.api.test_ingest import served
from tests.integration.sources.push.reading import Reading, push_source
from tests.polling import until
from tests.servers.proxy import CLEAR, Network, Proxy, address

ROWS = [{"id": str(number), "amount": "1.10", "note": "x" * 40} for number in range(300)]


class Sender:
    """A shop that sends through the proxy, each request with a key of its own, and again until it is answered."""

    def __init__(self, state: Path, proxy: Proxy) -> None:
        self._state, self._proxy = state, proxy
        self.failures = 0

    def send(self, key: str) -> httpx2.Response:
        return until(lambda: self._try(key), timeout=60, every=0.05, what=f"{key} is answered")

    def numbers(self) -> list[int]:
        """Of the rows that the engine will read, in order: a request that was taken twice shows twice."""
        with Reading(push_source(self._state)) as reading:
            reading.all()
            return reading.numbers

    def _try(self, key: str) -> httpx2.Response | None:
        url = f"http://127.0.0.1:{self._proxy.port}/api/v1/ingest/orders"
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        try:
            return httpx2.post(url, content=json.dumps(ROWS).encode(), headers=headers, timeout=3, trust_env=False)
        except httpx2.TransportError:
            self.failures += 1
            self._proxy.network = CLEAR  # the next one gets through
            return None


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    (tmp_path / "state").mkdir()
    with served(push_source(tmp_path / "state").intakes) as client:
        made = Proxy(address(str(client.base_url)))
        yield made
        made.close()


NETWORKS = {
    "the answer is lost": Network(lost=b"POST /api/v1/ingest"),
    "reset in the middle of the rows": Network(reset=9_000),
    "reset before the rows": Network(reset=100),
    "silent": Network(silent=True),
}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
def test_what_is_sent_again_after_a_failure_counts_once(proxy: Proxy, tmp_path: Path, network: Network) -> None:
    sender = Sender(tmp_path / "state", proxy)
    assert sender.send("first").status_code == 202
    proxy.network = network
    answer = sender.send("second")
    assert (answer.status_code, sender.failures) == (202, 1)
    assert ("idempotent-replayed" in answer.headers) is bool(network.lost), "it was taken before only where its answer was lost"
    assert len(sender.numbers()) == 2 * len(ROWS)


def test_rows_that_trickle_in_are_taken_whole(proxy: Proxy, tmp_path: Path) -> None:
    proxy.network = Network(delay=0.001, piece=100)
    sender = Sender(tmp_path / "state", proxy)
    assert sender.send("slow").status_code == 202
    assert len(sender.numbers()) == len(ROWS)
