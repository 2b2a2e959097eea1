"""What topics are called."""


def topic_of(prefix: str, source: str, *path: str) -> str:
    """A table's topic, as Debezium names it: the project's prefix where it has one, the source, schema and table."""
    return ".".join(part for part in (prefix, source, *path) if part)


def dead_letters_of(topic: str) -> str:
    """The topic of what could not be read in this one."""
    return f"{topic}.dlq"


def signals_of(prefix: str, source: str) -> str:
    """The topic by which a source's Debezium is told what to do."""
    return topic_of(prefix, source, "signals")


def ingest_topic(prefix: str, source: str = "") -> str:
    """Where `topline ingest` keeps what it remembers of a source; without one: the topic by which workers share them."""
    return topic_of(prefix, "_topline", "ingest", source)
