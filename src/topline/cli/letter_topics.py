"""Shows what lies in the topics of dead letters, and has Flink read its letters again."""

from collections.abc import Iterator
from pathlib import Path

from topline.cli.flink import deploy_job
from topline.cli.letters import start
from topline.cli.opening import open_project
from topline.cli.output import plain, print_json, print_table
from topline.cluster.topics import known_topics
from topline.errors import UsageError
from topline.kafka.client import Client
from topline.kafka.letters import TopicLetter, letters_of
from topline.kafka.settings import kafka_settings
from topline.live.start import databases, load_plan
from topline.sources.registry import build

_PATIENCE = 3600.0


def show_topics(folder: Path, *, table: str | None, as_json: bool) -> None:
    """UsageError where `table` has no topic."""
    letters = list(_letters(folder, table))
    if as_json:
        print_json([_fields(letter) for letter in letters])
        return
    rows = [(x.topic, x.by, x.where, x.reason, start(x.value or x.key or b"")) for x in letters]
    print_table("", ("topic", "whose", "where", "why", "begins"), rows)


def replay_on_flink(folder: Path, numbers: list[int], *, as_json: bool) -> None:
    """The job reads all topics anew: what can be read by now is in its tables then. UsageError for numbers."""
    if numbers:
        raise UsageError("letters of Flink's job have no numbers: all are read again")
    deploy_job(folder, patience=_PATIENCE, as_json=as_json, anew=True)


def _letters(folder: Path, table: str | None) -> Iterator[TopicLetter]:
    project = open_project(folder)
    client = Client(kafka_settings(project), project.root)
    plan = load_plan(project)
    with databases(project) as real:
        topics = {topic.schema.name: topic for topic in known_topics(build(project, plan.tables, real.embedded), plan.tables)}
    if table is not None and table not in topics:
        raise UsageError(f"--table {table!r} comes by no topic; these do: {', '.join(topics) or 'none'}")
    for name, topic in topics.items():
        if table in (None, name):
            yield from letters_of(client, topic.name)


def _fields(letter: TopicLetter) -> dict[str, object]:
    return {name: plain(getattr(letter, name)) for name in ("topic", "by", "where", "reason", "key", "value")}
