"""The format in which a project's change events are written."""

from pathlib import Path

from topline.kafka.avro.format import AvroFormat
from topline.kafka.avro.writer import AvroWriter
from topline.kafka.envelope import Writer
from topline.kafka.events import Format
from topline.kafka.json.format import JsonFormat
from topline.kafka.json.writer import JsonWriter
from topline.kafka.registry import Registry
from topline.kafka.settings import KafkaSettings


def format_of(settings: KafkaSettings, root: Path) -> Format:
    """To be closed by the caller. ConfigError for a file of the settings that cannot be read."""
    if settings.format == "json":
        return JsonFormat()
    assert settings.registry is not None  # the settings have seen to it
    registry = Registry(settings.registry, root, settings.timeout)
    return AvroFormat(registry.schema, registry.close)


def writer_of(settings: KafkaSettings, root: Path) -> Writer:
    """To be closed by the caller. ConfigError for a file of the settings that cannot be read."""
    if settings.format == "json":
        return JsonWriter()
    assert settings.registry is not None  # the settings have seen to it
    return AvroWriter(Registry(settings.registry, root, settings.timeout))
