"""A till that sends its sales to the API, again and again until they are accepted, and its book of what then counts."""

import json
import random
import threading
from collections import Counter
from collections.abc import Callable

import httpx2

SETTINGS = """
  till:
    kind: push
    tables:
      sales: {on_invalid: keep, on_unknown: refuse}
"""
MODELS = """
sources:
  - name: till
    tables:
      - name: sales
        config: {meta: {key: [sale_id]}}
        columns:
          - {name: sale_id, data_type: text}
          - {name: city, data_type: text}
          - {name: amount, data_type: bigint}
models:
  - {name: till_sales, config: {meta: {key: [sale_id]}}}
  - {name: till_cities, config: {meta: {key: [city]}}}
"""
SALES = "select sale_id, city, amount{more} from {{{{ source('till', 'sales') }}}} where sale_id <> '{unlike}'"
CITIES = "select city, count(*) as sales, cast(sum(amount) as bigint) as amount from {{ ref('till_sales') }} group by city"
_CITIES = ("Roma", "Bari", "Como", "Enna")
_AGAIN = 0.05  # seconds until what was not accepted is sent once more


class Till:
    """`rows`: sale -> (city, amount) as accepted. `letters`: the records that were accepted as no rows, as they were sent."""

    def __init__(self, seed: int, address: Callable[[], str]) -> None:
        """`address`: of the API, '' while there is none."""
        self._random, self._address = random.Random(seed), address
        self._client = httpx2.Client(timeout=10)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="till", daemon=True)
        self._failure: BaseException | None = None
        self.requests = 0
        self.rows: dict[str, tuple[str, int]] = {}
        self.letters: Counter[bytes] = Counter()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Once the request under way was accepted: an engine must be there."""
        self._stopping.set()
        self._thread.join(60)
        self._client.close()
        assert not self._thread.is_alive(), "the till's last request was not accepted"
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.requests += 1
                self._send(self._records())
                self._stopping.wait(_AGAIN)
        except BaseException as error:  # noqa: BLE001 - the edge of a thread: `stop` raises it
            self._failure = error

    def _records(self) -> list[dict[str, object]]:
        """New sales, a correction, a cancellation now and then, and a record with a field that nobody knows."""
        number, draw = self.requests, self._random
        sales: list[dict[str, object]] = [
            {"sale_id": f"{number}-{n}", "city": draw.choice(_CITIES), "amount": draw.randrange(1000)} for n in range(4)
        ]
        if self.rows and draw.random() < 0.7:
            sales.append({"sale_id": draw.choice(list(self.rows)), "city": draw.choice(_CITIES), "amount": 1})
        if self.rows and draw.random() < 0.3:
            sales.append({"sale_id": draw.choice(list(self.rows)), "_deleted": True})
        if number % 5 == 0:
            sales.append({"sale_id": f"odd-{number}", "city": "Roma", "amount": 7, "strange": number})
        return sales

    def _send(self, records: list[dict[str, object]]) -> None:
        """The same request under the same key, until it is answered."""
        body = b"\n".join(json.dumps(record).encode() for record in records)
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"request-{self.requests}"}
        while (answer := self._tried(body, headers)) is None:
            if self._stopping.wait(_AGAIN) and not self._address():
                raise AssertionError("stopped, and there is no engine to take what is under way")
        self._note(records, answer["kept_as_dead_letters"])

    def _tried(self, body: bytes, headers: dict[str, str]) -> dict[str, int] | None:
        if not (address := self._address()):
            return None
        try:
            answer = self._client.post(f"{address}/api/v1/ingest/till.sales", content=body, headers=headers)
        except httpx2.TransportError:
            return None
        if answer.status_code >= 500 or answer.status_code in (409, 429):
            return None
        assert answer.status_code == 202, answer.text
        accepted: dict[str, int] = answer.json()
        return accepted

    def _note(self, records: list[dict[str, object]], letters: int) -> None:
        for record in records:
            key = str(record["sale_id"])
            if record.get("_deleted"):
                self.rows.pop(key, None)
            elif "strange" in record and letters:
                self.letters[json.dumps(record).encode()] += 1
            else:
                self.rows[key] = (str(record["city"]), int(str(record["amount"])))
