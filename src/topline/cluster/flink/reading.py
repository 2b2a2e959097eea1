"""A topic of change events as a table that Flink keeps: the last readable record of a key is its row, what cannot be read goes
to the topic of dead letters.

`before` is not read. A redelivered record is its key's last once more, and changes nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from topline.cluster.topics import Topic
from topline.kafka.events import UNAVAILABLE
from topline.kafka.letters import ERRORS
from topline.models.flink import TYPES, once, quoted, text
from topline.models.flink.words import instant, matches, read_instant, read_time, zoned
from topline.schema import Column, TableSchema, Type

FUNCTIONS = ("CREATE TEMPORARY FUNCTION change_event AS 'topline.flink.ChangeEvent'",)
"""What makes the function be there by which records are read, in Avro and in JSON: deploy/jvm/flink-functions."""
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "[0-2][0-9]:[0-5][0-9](:[0-6][0-9]([.][0-9]{1,9})?)?"
_OFFSET = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_LONG = 240  # characters of a value that a reason shows


@dataclass(frozen=True, slots=True)
class Reader:
    """`connector`: Kafka's options, secrets among them. `job`: its name."""

    connector: Mapping[str, str]
    job: str

    def statements(self, topic: Topic) -> list[str]:
        """What makes the table `source.table` be there, and the one of its dead letters."""
        name = topic.schema.name
        return [
            _records(name, {**self.connector, **_READ, "topic": topic.name}),
            _view(f"{name} judged", self._judged(topic)),
            _view(name, _rows(topic)),
            _letters(name, {**self.connector, **_WRITTEN, "topic": topic.letters}),
        ]

    def letters(self, topic: Topic) -> str:
        """The INSERT that brings what cannot be read to the dead letters."""
        name = topic.schema.name
        values = {
            "topic": text(topic.name), "partition": "CAST(`partition` AS STRING)", "offset": "CAST(`offset` AS STRING)",
            "connector.name": text(self.job), "task.id": "'0'", "stage": "'VALUE_CONVERTER'",
            "exception.class.name": "'topline.FormatError'", "exception.message": "`reason`",
        }  # fmt: skip
        headers = ", ".join(f"{text(ERRORS + header)}, ENCODE({value}, 'UTF-8')" for header, value in values.items())
        return (
            f"INSERT INTO {quoted(f'{name} letters')}\nSELECT `key`, `value`, MAP[{headers}]\n"
            f"FROM {quoted(f'{name} judged')}\nWHERE `reason` IS NOT NULL"
        )

    def _judged(self, topic: Topic) -> str:
        """The records with their columns, as text and typed, and with the reason for which one says nothing; NULL where it
        does. Each step is computed once, however often it is used by the next."""
        query = f"SELECT * FROM {quoted(f'{topic.schema.name} records')}"
        for step in ({"event": "change_event(`key`, `value`)"}, _fields(topic.schema), _typed(topic), _reason(topic.schema)):
            more = ", ".join(f"{once(value)} AS {quoted(name)}" for name, value in step.items())
            query = f"SELECT *, {more}\nFROM (\n{query}\n)"
        return query


_READ = {
    "connector": "kafka", "key.format": "raw", "key.fields": "key", "value.format": "raw", "value.fields-include": "EXCEPT_KEY",
    "scan.startup.mode": "earliest-offset", "properties.isolation.level": "read_committed",
}  # fmt: skip
_WRITTEN = {
    "connector": "kafka", "key.format": "raw", "key.fields": "key", "value.format": "raw", "value.fields-include": "EXCEPT_KEY",
    "sink.delivery-guarantee": "at-least-once",
    # A record that came must go: by the client's own limit (1 MiB) a large one would fail the job for ever.
    "properties.max.request.size": str(128 << 20), "properties.buffer.memory": str(160 << 20),
}  # fmt: skip


def _records(name: str, options: Mapping[str, str]) -> str:
    columns = "`key` BYTES, `value` BYTES, `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL"
    return f"CREATE TEMPORARY TABLE {quoted(f'{name} records')} ({columns}, `now` AS PROCTIME())\nWITH ({with_(options)})"


def _letters(name: str, options: Mapping[str, str]) -> str:
    columns = "`key` BYTES, `value` BYTES, `headers` MAP<STRING, BYTES> METADATA"
    return f"CREATE TEMPORARY TABLE {quoted(f'{name} letters')} ({columns})\nWITH ({with_(options)})"


def with_(options: Mapping[str, str]) -> str:
    return ", ".join(f"{text(name)} = {text(value)}" for name, value in options.items())


def _view(name: str, query: str) -> str:
    return f"CREATE TEMPORARY VIEW {quoted(name)} AS\n{query}"


def _fields(schema: TableSchema) -> dict[str, str]:
    """Operation and columns as text: of `after`; of a deletion the key's columns, as the record's key has them."""
    columns = {f"{name} text": f"`event`.`row`[{text(name)}]" for name in schema.names}
    for name in schema.key:
        columns[f"{name} text"] = (
            f"CASE `event`.`op` WHEN 'd' THEN `event`.`key`[{text(name)}] ELSE `event`.`row`[{text(name)}] END"
        )
    return {"op": "`event`.`op`", **columns}


def _typed(topic: Topic) -> dict[str, str]:
    """Each column's value, NULL where it does not fit."""
    return {column.name: _value(column, topic.zone) for column in topic.schema.columns}


def _reason(schema: TableSchema) -> dict[str, str]:
    return {"reason": f"CASE {' '.join(f'WHEN {when} THEN {why}' for when, why in _reasons(schema))} END"}


def _reasons(schema: TableSchema) -> Iterator[tuple[str, str]]:
    yield "`event`.`problem` IS NOT NULL", "`event`.`problem`"
    for column in schema.columns:
        given = quoted(f"{column.name} text")
        if column.name in schema.key:
            yield f"{given} IS NULL", text(f"no key: {column.name} is missing")
        if column.type is not Type.TEXT:
            unfit = f"{given} IS NOT NULL AND {quoted(column.name)} IS NULL"
            yield unfit, f"{text(f'{column.name}: not a {column.type}: ')} || SUBSTRING({given}, 1, {_LONG})"
        yield (
            f"{given} = {text(UNAVAILABLE)}",
            text(f"{column.name}: left out by TOAST; set REPLICA IDENTITY FULL on its table"),
        )


def _value(column: Column, zone: str) -> str:
    """A column's text in its type, NULL where it does not fit."""
    value = quoted(f"{column.name} text")
    match column.type:
        case Type.TEXT:
            return value
        case Type.BOOLEAN:
            return f"CASE {value} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"
        case Type.BIGINT:
            # The least one stands for NULL in the live engine.
            fits = f"{matches(value, '[+-]?[0-9]{1,19}')} AND {value} <> '-9223372036854775808'"
            return f"CASE WHEN {fits} THEN TRY_CAST({value} AS BIGINT) END"
        case Type.DATE:
            fits = matches(value, f"{_DATE}Z?")
            return f"CASE WHEN {fits} THEN TRY_CAST(SUBSTRING({value}, 1, 10) AS DATE) END"
        case Type.TIMESTAMP:
            shape = f"{_DATE}([ T]{_CLOCK}Z?)?"
            return f"CASE WHEN {matches(value, shape)} THEN {read_time(_trimmed(value))} END"
        case Type.TIMESTAMPTZ:
            return _instant(value, zone)
    return f"TRY_CAST({value} AS {TYPES[column.type]})"


def _instant(value: str, zone: str) -> str:
    local = instant(zoned(read_time(value), zone, "UTC"))
    return (
        f"CASE WHEN {matches(value, f'{_DATE}[ T]{_CLOCK}{_OFFSET}')} THEN {read_instant(value)}\n"
        f"WHEN {matches(value, f'{_DATE}([ T]{_CLOCK})?')} THEN {local} END"
    )


def _trimmed(value: str) -> str:
    return f"REPLACE({value}, 'Z', '')"


def _rows(topic: Topic) -> str:
    """The last record of each key, where it is no deletion. Records of a key lie in one partition, and come in order."""
    schema = topic.schema
    columns = ", ".join(map(quoted, schema.names))
    last = f"ROW_NUMBER() OVER (PARTITION BY {', '.join(map(quoted, schema.key))} ORDER BY `now` DESC) AS `last`"
    good = f"SELECT {columns}, `op`, {last}\nFROM {quoted(f'{schema.name} judged')}\nWHERE `reason` IS NULL"
    return f"SELECT {columns}\nFROM (\nSELECT * FROM (\n{good}\n)\nWHERE `last` = 1\n)\nWHERE `op` <> 'd'"
