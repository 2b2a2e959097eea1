"""The streaming phase: what the replication connection brings, as batches, and the heartbeat beside it."""

from topline.changes import Position, SourceBatch
from topline.faults import point
from topline.sources.postgres.decoder import Decoder
from topline.sources.postgres.shapes import Members
from topline.sources.postgres.standing import Standing
from topline.sources.postgres.stream import Collected, Stream
from topline.sources.postgres.watch import Watch


class Tail:
    """Follows a stream that was started. `partition`: of its positions."""

    def __init__(self, source: str, partition: str, stream: Stream, decoder: Decoder, watch: Watch, standing: Standing) -> None:
        self._source, self._partition = source, partition
        self._stream, self._decoder, self._watch, self._standing = stream, decoder, watch, standing

    def read(self, max_rows: int, timeout: float) -> SourceBatch | None:
        if self._watch.due():
            self._standing.server_end = self._watch.look(self._standing.passed)
            self._stream.ask()
        collected = self._stream.collect(max(max_rows, 1), timeout)
        if collected is None:
            if self._standing.is_waited_for:
                self._stream.ask()
            return None
        return self._decoded(collected) if collected.messages else self._idle(collected.end or 0)

    @property
    def reached_end(self) -> bool:
        standing = self._standing
        return not standing.is_waited_for and not self._decoder.in_transaction

    @property
    def lag(self) -> int:
        return max(self._standing.server_end - self._standing.passed, 0)

    def close(self) -> None:
        self._watch.close()

    def _decoded(self, collected: Collected) -> SourceBatch:
        point("stream:collected")
        decoded = self._decoder.decode(collected.messages)
        point("stream:decoded")
        batch = SourceBatch(
            self._source,
            parts=decoded.parts,
            positions={self._partition: decoded.position},
            dead_letters=decoded.letters,
            complete=collected.complete,
            time=decoded.time,
        )
        passed = decoded.position.hi if collected.complete else self._standing.passed
        return self._standing.passing(batch, passed, self._news())

    def _idle(self, end: int) -> SourceBatch | None:
        """The server has nothing more up to `end`. Said onwards when somebody waits for it, else once a heartbeat."""
        if self._decoder.in_transaction or end <= self._standing.passed:
            return None
        if not self._standing.is_waited_for and not self._watch.may_advance():
            return None
        batch = SourceBatch(self._source, positions={self._partition: Position(end, 0)})
        return self._standing.passing(batch, end, self._news())

    def _news(self) -> dict[str, Members]:
        news, self._watch.news = self._watch.news, {}
        return news
