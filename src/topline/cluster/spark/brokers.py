"""The cluster's settings as Spark's Kafka source takes them."""

from collections.abc import Mapping
from pathlib import Path

from topline.kafka.java import java_settings
from topline.kafka.settings import KafkaSettings


def options(settings: KafkaSettings, root: Path) -> Mapping[str, str]:
    """Secrets among them. ConfigError as in `java_settings`. Only what is committed is read."""
    found = {
        "bootstrap.servers": settings.addresses,
        "isolation.level": "read_committed",
        "request.timeout.ms": str(int(settings.timeout * 1000)),
        **java_settings(settings, root),
    }
    return {f"kafka.{name}": value for name, value in found.items()}
