"""Which topic each table of the models comes from, whatever kind of source it has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from topline.errors import ConfigError
from topline.kafka.names import dead_letters_of
from topline.schema import TableSchema
from topline.sources.base import Source
from topline.sources.kafka.source import KafkaSource


@dataclass(frozen=True, slots=True)
class Topic:
    """A table's topic; `zone`: of times that carry none."""

    schema: TableSchema
    name: str
    zone: str

    @property
    def letters(self) -> str:
        """The topic of its dead letters."""
        return dead_letters_of(self.name)


def topics_of(engine: str, sources: Sequence[Source], tables: Mapping[str, TableSchema]) -> list[Topic]:
    """Of each of `tables`. ConfigError names the sources whose tables do not come by topics, for this `engine`."""
    apart = sorted({name.partition(".")[0] for name in tables} - _behind(sources).keys())
    if apart:
        raise ConfigError(
            f"sources {', '.join(apart)}: {engine} reads topics; write `from: kafka`, or a source of kind kafka with the topics"
        )
    return list(known_topics(sources, tables))


def known_topics(sources: Sequence[Source], tables: Mapping[str, TableSchema]) -> Iterable[Topic]:
    """Of those of `tables` that come by topics."""
    behind = _behind(sources)
    for name, schema in tables.items():
        source, _, table = name.partition(".")
        if source in behind:
            yield Topic(schema, behind[source].topics[table], behind[source].zone)


def _behind(sources: Sequence[Source]) -> dict[str, KafkaSource]:
    return {source.name: source for source in sources if isinstance(source, KafkaSource)}
