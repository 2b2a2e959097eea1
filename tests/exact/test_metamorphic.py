"""Given a history, however its batches are cut, merged, replayed, interrupted by restarts or ordered among sources, then count
and hash of every result, of what was published and of every table are the same."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import pytest

from tests.exact.engines import DuckTruth
from tests.exact.history import Histories, Truth, positions_of
from tests.exact.models import project
from tests.exact.pipe import Pipe, digest
from tests.exact.shipped import SALES, sales_plan, specs
from tests.exact.tables import TableSpec
from topline.changes import Part, SourceBatch, TableChanges
from topline.models.plan import ProjectPlan

Feeds = list[list[SourceBatch]]
"""What is folded at once, one list after the other."""
Digest = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Story:
    """A plan, the batches that sources gave, as they came together, and the digest that they come to."""

    plan: ProjectPlan
    feeds: Feeds
    digest: Digest
    random: Random


def told(plan: ProjectPlan, tables: dict[str, TableSpec], seed: int) -> Story:
    random, truth, duck = Random(seed), Truth(tables), DuckTruth(plan)
    feeds = [truth.batches(batch) for batch in Histories(random, tables).history(7)]
    expected = duck.rows({name: table for name, table in truth.arrow().items() if name in plan.tables})
    duck.close()
    return Story(plan, feeds, digest(expected), random)


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in range(101, 109)]


@pytest.fixture(scope="module", params=[100, "sales", *LONG])
def story(request: pytest.FixtureRequest) -> Story:
    if request.param == "sales":
        plan = sales_plan()
        return told(plan, specs(plan, SALES), 1)
    made = project(request.param)
    return told(made.plan(), dict(made.tables), request.param)


def require_same(pipe: Pipe, story: Story) -> None:
    assert digest(pipe.rows()) == story.digest
    assert digest(pipe.replica.rows()) == story.digest


def fed(story: Story, feeds: Feeds) -> None:
    with Pipe(story.plan) as pipe:
        for feed in feeds:
            pipe.feed(feed)
        require_same(pipe, story)


def test_as_it_came(story: Story) -> None:
    fed(story, story.feeds)


def test_with_branches_of_the_graph_side_by_side(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topline.live.dataflow.MANY", 0)
    fed(story, story.feeds)


def test_merged_into_one(story: Story) -> None:
    fed(story, [[batch for feed in story.feeds for batch in feed]])


def test_each_alone(story: Story) -> None:
    fed(story, [[batch] for feed in story.feeds for batch in feed])


def test_cut_anywhere(story: Story) -> None:
    """Between any two rows, each piece folded and published by itself."""
    pieces = [piece for feed in story.feeds for batch in feed for piece in cut(story.random, batch)]
    assert len(pieces) > 2 * sum(map(len, story.feeds))
    fed(story, [[piece] for piece in pieces])


def cut(random: Random, batch: SourceBatch) -> Iterator[SourceBatch]:
    for part in batch.parts:
        for piece in pieces_of(random, part):
            yield SourceBatch(batch.source, (piece,), positions_of([piece]))


def pieces_of(random: Random, part: Part) -> list[Part]:
    if not isinstance(part, TableChanges):
        return [part]
    places = sorted(random.sample(range(1, len(part)), min(len(part) - 1, random.choice([0, 1, 3]))))
    return [rows_of(part, start, end) for start, end in zip([0, *places], [*places, len(part)], strict=True)]


def rows_of(part: TableChanges, start: int, end: int) -> TableChanges:
    cut_ = slice(start, end)
    kept = None if part.unchanged is None else part.unchanged[cut_]
    rows = part.rows.slice(start, end - start)
    return replace(part, rows=rows, ops=part.ops[cut_], hi=part.hi[cut_], lo=part.lo[cut_], unchanged=kept)


def test_with_replays_of_any_prefix(story: Story) -> None:
    """Before each batch some of all that came before, from the beginning, comes again."""
    feeds: Feeds = []
    for number, feed in enumerate(story.feeds):
        before = [batch for earlier in story.feeds[:number] for batch in earlier]
        feeds.append([*before[: story.random.randint(0, len(before))], *feed])
    fed(story, feeds)


def test_sources_in_another_order(story: Story) -> None:
    """Each source's batches in their order, the sources one after the other, and shuffled into each other."""
    batches = [batch for feed in story.feeds for batch in feed]
    sources = {batch.source for batch in batches}
    lines = [[batch for batch in batches if batch.source == source] for source in sorted(sources, reverse=True)]
    fed(story, [[batch] for line in lines for batch in line])
    fed(story, [[batch] for batch in shuffled(story.random, lines)])


def shuffled(random: Random, lines: Sequence[Sequence[SourceBatch]]) -> list[SourceBatch]:
    waiting = [list(line) for line in lines]
    mixed: list[SourceBatch] = []
    while any(waiting):
        mixed.append(random.choice([line for line in waiting if line]).pop(0))
    return mixed


def crash(pipe: Pipe) -> None:
    """The log is all that stays."""


def checkpoint(pipe: Pipe) -> None:
    pipe.checkpoint()


def compact(pipe: Pipe) -> None:
    assert pipe.log
    pipe.log.compact()


def compact_behind_a_checkpoint(pipe: Pipe) -> None:
    """The log is folded past what the checkpoint knows."""
    pipe.checkpoint()
    pipe.feed([])
    compact(pipe)


@pytest.mark.parametrize("before", [crash, checkpoint, compact, compact_behind_a_checkpoint])
def test_restarts_in_between(story: Story, tmp_path: Path, before: Callable[[Pipe], None]) -> None:
    """After every other batch, which is not yet published; what the sources cannot know was taken comes again."""
    pipe = Pipe(story.plan, tmp_path)
    for number, feed in enumerate(story.feeds):
        pipe.feed(feed, publish=number % 2 == 0)
        if number % 2:
            before(pipe)
            pipe.close()
            pipe = Pipe(story.plan, tmp_path, pipe.replica)
            pipe.feed(feed)
    require_same(pipe, story)
    pipe.close()


def test_in_bulk_and_then_by_deltas(story: Story, tmp_path: Path) -> None:
    """A log that was filled by other models is folded whole; what comes then, by deltas."""
    half = len(story.feeds) // 2
    with Pipe(story.plan, tmp_path) as pipe:
        for feed in story.feeds[:half]:
            pipe.feed(feed)
        replica, tables = pipe.replica, digest(pipe.tables())
    with Pipe(story.plan, tmp_path, replica) as pipe:
        assert digest(pipe.tables()) == tables
        assert digest(pipe.rows()) == digest(replica.rows())
        pipe.feed([batch for feed in story.feeds[half:] for batch in feed])
        require_same(pipe, story)


def test_what_the_log_has_alone_comes_to_the_same(story: Story, tmp_path: Path) -> None:
    """The resolved changes, read back one epoch after the other, need neither sources nor sweeps."""
    with Pipe(story.plan, tmp_path) as pipe, Pipe(story.plan) as other:
        for feed in story.feeds:
            pipe.feed(feed)
        assert pipe.log
        for batch in pipe.log.read(0):
            other.replica.publish(other.dataflow, other.dataflow.apply(batch.changes).dirty)
        assert digest(other.tables()) == digest(pipe.tables())
        require_same(other, story)


def test_the_digest_sees_a_row(story: Story) -> None:
    """What every test above rests on: it is another one when a single row is."""
    with Pipe(story.plan) as pipe:
        for feed in story.feeds:
            pipe.feed(feed)
        rows = pipe.rows()
    model = next(name for name, found in rows.items() if found)
    rows[model].subtract([next(iter(rows[model]))])
    assert digest(rows) != story.digest
    assert digest({}) != story.digest
