"""Tables that travel through Apache Kafka, one topic each: by Debezium, or by anybody who writes what it writes."""

from topline.sources.kafka.settings import Settings
from topline.sources.kafka.source import create

__all__ = ["Settings", "create"]
