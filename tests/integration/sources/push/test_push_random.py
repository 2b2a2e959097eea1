"""Whatever is sent, sent again, read, lost and reopened: the log's table is what the accepted requests say, in their order."""

import contextlib
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.ledger import Ledger, Rows
from tests.conformance.origin import TABLE
from tests.conftest import scratch
from topline.sources.base import Context
from topline.sources.push import PushSource, Settings, create
from topline.sources.push.bodies import NDJSON, Content
from topline.sources.push.inbox import Once
from topline.sources.push.refusals import InboxFull, KeyReused

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
_ROW = st.tuples(st.sampled_from("abcde"), st.one_of(st.none(), _TEXT, st.just(...)))  # ...: the row goes
_REQUEST = st.lists(_ROW, min_size=1, max_size=6)
_STEP = st.one_of(
    st.tuples(st.just("send"), _REQUEST, st.sampled_from(["", "k1", "k2", "k3"])),
    st.tuples(st.just("read"), st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.just("lose"), st.integers(1, 5), st.integers(1, 3)),
    st.tuples(st.just("restart")),
)


class World:
    """`truth` and `keys` are the model: what was accepted, and which body each key had."""

    def __init__(self, folder: Path) -> None:
        self._context = Context("origin", {"things": TABLE}, folder, folder)
        self.truth: Rows = {}
        self.keys: dict[str, bytes] = {}
        self.ledger = Ledger()
        self.api, self.engine = self._made(), self._made()
        self.engine.open(self.ledger.resume)

    def _made(self) -> PushSource:
        return create(self._context, Settings(max_waiting_rows=12))

    def send(self, rows: list[tuple[str, object]], key: str) -> None:
        records = [{"id": row, "_deleted": True} if value is ... else {"id": row, "value": value} for row, value in rows]
        body = "\n".join(map(json.dumps, records)).encode()
        once = Once("", key, body) if key else None
        try:
            receipt = self.api.intakes[0].accept(body, Content(NDJSON), once)
        except KeyReused:
            assert self.keys[key] != body
            return
        except InboxFull:
            assert not key or key not in self.keys
            return
        assert receipt.replayed == (key in self.keys)
        if receipt.replayed:
            assert self.keys[key] == body
            return
        if key:
            self.keys[key] = body
        for row, value in rows:
            self.truth.pop(row, None)
            if value is not ...:
                self.truth[row] = value  # type: ignore[assignment]

    def read(self, max_rows: int, most: int) -> None:
        """Commit some batches, and tell the source."""
        for _ in range(most):
            if (batch := self.engine.read(max_rows, 0)) is None:
                return
            self.ledger.commit(batch)
            self.engine.acknowledge(batch.positions)

    def lose(self, max_rows: int, most: int) -> None:
        """Read, and end before the commit."""
        for _ in range(most):
            self.engine.read(max_rows, 0)
        self.ledger.restart()
        self.engine.open(self.ledger.resume)

    def restart(self) -> None:
        """Both processes end; new ones begin."""
        self.close()
        self.ledger.restart()
        self.api, self.engine = self._made(), self._made()
        self.engine.open(self.ledger.resume)

    def close(self) -> None:
        self.api.intakes[0].close()
        self.engine.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(st.lists(_STEP, max_size=25))
def test_the_table_is_what_was_accepted(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory(dir=scratch()) as folder, contextlib.closing(World(Path(folder))) as world:
        for verb, *arguments in steps:
            getattr(world, str(verb))(*arguments)
        world.restart()
        world.read(1000, 100)
        assert world.ledger.rows == world.truth
        assert all(rows.keys() <= set("abcde") for rows in world.ledger.seen)
        assert world.engine.reached_end()
