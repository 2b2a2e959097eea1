"""One method an endpoint; each gives the endpoint's own answer."""

from collections.abc import Iterator, Mapping
from datetime import date
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel

from topline.answers import (
    Cities,
    CityHistory,
    Event,
    History,
    LetterAnswer,
    Letters,
    Lineage,
    Models,
    PageAnswer,
    Ready,
    RejectedSales,
    ReplayAccepted,
    Rows,
    SalesmanAnswer,
    Salesmen,
    Sources,
)
from topline.client.refused import require_success

A = TypeVar("A", bound=BaseModel)
P = TypeVar("P", bound=PageAnswer)
_API = "/api/v1/"
_SILENCE = 60.0  # seconds without a byte, not even a heartbeat, after which a stream of events is lost


class Client:
    """A context manager; not for several threads at once. `token`: of a bearer, where the API asks for one.

    Where the API cannot be reached httpx2's own errors come.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = 30.0) -> None:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._streaming = httpx2.Timeout(timeout, read=_SILENCE)
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout)

    def sales_by_city(
        self,
        *,
        date: date | None = None,
        first: date | None = None,
        last: date | None = None,
        country: str | None = None,
        region: str | None = None,
        city: str | None = None,
        limit: int | None = None,
    ) -> Cities:
        """The best cities of a day, or of the days from `first` to `last`; of the current business day unless said."""
        place = {"country": country, "region": region, "city": city}
        return self._get(Cities, "sales/city", {"date": date, "from": first, "to": last, **place, "limit": limit})

    def city_history(
        self, country: str, city: str, *, region: str = "", first: date | None = None, last: date | None = None
    ) -> CityHistory:
        place = {"country": country, "region": region, "city": city}
        return self._get(CityHistory, "sales/city/history", {**place, "from": first, "to": last})

    def top_salesmen(
        self, *, date: date | None = None, first: date | None = None, last: date | None = None, limit: int | None = None
    ) -> Salesmen:
        return self._get(Salesmen, "salesmen/top", {"date": date, "from": first, "to": last, "limit": limit})

    def salesman(self, salesman_id: str, *, first: date | None = None, last: date | None = None) -> SalesmanAnswer:
        return self._get(SalesmanAnswer, f"salesmen/{quote(salesman_id, safe='')}", {"from": first, "to": last})

    def salesman_history(self, salesman_id: str, *, first: date | None = None, last: date | None = None) -> History:
        return self._get(History, f"salesmen/{quote(salesman_id, safe='')}/history", {"from": first, "to": last})

    def rejected_sales(
        self, *, source: str | None = None, reason: str | None = None, limit: int | None = None
    ) -> RejectedSales:
        return self._get(RejectedSales, "sales/rejected", {"source": source, "reason": reason, "limit": limit})

    def dead_letters(
        self, *, source: str | None = None, table: str | None = None, state: str | None = None, limit: int | None = None
    ) -> Letters:
        return self._get(Letters, "dead-letters", {"source": source, "table": table, "state": state, "limit": limit})

    def dead_letter(self, number: int) -> LetterAnswer:
        return self._get(LetterAnswer, f"dead-letters/{number}")

    def replay(self, *numbers: int) -> ReplayAccepted:
        """Have dead letters read again; the engine does so at its next look."""
        answer = self._http.post(f"{_API}dead-letters/replay", json={"letters": numbers})
        return _read(ReplayAccepted, answer)

    def sources(self) -> Sources:
        return self._get(Sources, "sources")

    def models(self) -> Models:
        return self._get(Models, "models")

    def rows(self, model: str, *, order: str | None = None, limit: int | None = None, **columns: Any) -> Rows:
        """A published model's rows; `columns`: the values that columns must have."""
        return self._get(Rows, f"models/{quote(model, safe='')}", {**columns, "order": order, "limit": limit})

    def lineage(self) -> Lineage:
        return self._get(Lineage, "lineage")

    def ready(self) -> Ready:
        """Refused (503) names each reason why it is not."""
        return _read(Ready, self._http.get("/readyz"))

    def pages(self, first: P) -> Iterator[P]:
        """An answer and those that follow it."""
        page = first
        yield page
        while page.next is not None:
            page = _read(type(first), self._http.get(page.next))
            yield page

    def events(self, after: int | None = None) -> Iterator[Event]:
        """Each publication from now on, or from the epoch `after`, until the server ends the stream."""
        headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})
        with self._http.stream("GET", f"{_API}events", headers=headers, timeout=self._streaming) as answer:
            if not answer.is_success:
                answer.read()
                require_success(answer)
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield Event.model_validate_json(line.removeprefix("data:"))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _get(self, kind: type[A], path: str, asked: Mapping[str, Any] | None = None) -> A:
        given = {name: _text(value) for name, value in (asked or {}).items() if value is not None}
        return _read(kind, self._http.get(f"{_API}{path}", params=given))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(kind: type[A], answer: httpx2.Response) -> A:
    require_success(answer)
    return kind.model_validate_json(answer.content)
