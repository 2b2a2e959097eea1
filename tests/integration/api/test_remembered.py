"""An answer is given again until the next publication is heard of, and never after it."""

import httpx2

from tests.integration.api.conftest import Results, api_over
from tests.integration.results.support import NOON, SCHEMA, execute
from tests.polling import until
from topline.results import Epoch, Reader
from topline.results.questions import Days, top_salesmen

PATH = "/api/v1/sales/city"


def _unchanged(epoch: int) -> Epoch:
    """An epoch in which no row changes."""
    return Epoch(epoch, {}, {"shop": NOON, "branches": NOON})


def _tamper(results: Results) -> None:
    """Behind Topline's back: whoever reads the table sees it."""
    execute(results.dsn, f"UPDATE {SCHEMA}.top_sales_by_city SET transaction_count = transaction_count + 1")


def test_an_answer_is_given_again_to_the_byte_until_the_next_publication(published: Results) -> None:
    with api_over(published.dsn) as client:
        first = _remembered(client, published)
        published.publisher.publish(_unchanged(8))
        later = until(lambda: _when(client, 8))
        assert later["cities"] != first["cities"]


def _remembered(client: httpx2.Client, published: Results) -> dict[str, object]:
    """An answer that is in memory: its table says something else by now."""

    def same() -> dict[str, object] | None:
        before = client.get(PATH)
        _tamper(published)
        again = client.get(PATH)
        return again.json() if again.content == before.content and again.headers == before.headers else None

    return until(same, what="the listener hears")


def _when(client: httpx2.Client, epoch: int) -> dict[str, object] | None:
    answer: dict[str, object] = client.get(PATH).json()
    as_of = answer["as_of"]
    assert isinstance(as_of, dict)
    return answer if as_of["epoch"] == epoch else None


def test_whoever_reads_a_newer_epoch_ends_all_older_answers(published: Results) -> None:
    """The epoch moves without a notice, as it is for whoever reads before the notice is there."""
    reader = Reader(published.dsn, SCHEMA).open()
    try:
        before = until(lambda: _generation_after_reading(reader))
        execute(published.dsn, f"UPDATE {SCHEMA}._topline_writer SET epoch = 8")
        assert _generation_after_reading(reader) != before
    finally:
        reader.close()


def _generation_after_reading(reader: Reader) -> int | None:
    reader.page(top_salesmen(Days.one(NOON.date())), 1)
    return reader.generation


def test_where_nobody_can_tell_each_answer_is_read(published: Results) -> None:
    reader = Reader("postgresql://127.0.0.1:1/nothing", SCHEMA).open()
    try:
        assert reader.generation is None
    finally:
        reader.close()


def test_a_problem_is_not_remembered(results: Results) -> None:
    with api_over(results.dsn) as client:
        assert client.get(PATH).status_code == 503
        execute(results.dsn, f"UPDATE {SCHEMA}._topline_models SET epoch = 1")
        assert client.get(PATH).status_code == 200
