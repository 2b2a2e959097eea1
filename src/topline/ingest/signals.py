"""What Debezium is told while it runs: to read a table again, beside the changes that go on.

Source of the signal: Debezium 3.7, "Sending signals to a Debezium connector": ad hoc incremental snapshots, channel kafka.
"""

import json
import uuid
from collections.abc import Sequence

from topline.errors import TransientError, UsageError, WorkError
from topline.ingest.debezium.connector import Connector
from topline.ingest.standing import Cluster
from topline.kafka.client import KafkaError, Message, failure


def signal_snapshot(cluster: Cluster, connector: Connector, tables: Sequence[str]) -> None:
    """Have these tables (short names) read again. UsageError for one that it does not bring, WorkError where it does not run,
    or is not set to listen."""
    patterns = [_pattern(connector, table) for table in tables]
    _require_listening(cluster, connector)
    signal = {
        "id": str(uuid.uuid4()),
        "type": "execute-snapshot",
        "data": {"type": "incremental", "data-collections": patterns},
    }
    _send(cluster, connector, json.dumps(signal).encode())


def _pattern(connector: Connector, table: str) -> str:
    if (found := connector.tables.get(table)) is None:
        raise UsageError(f"{connector.source} has no table {table!r}; it has {', '.join(sorted(connector.tables))}")
    return found


def _require_listening(cluster: Cluster, connector: Connector) -> None:
    found = cluster.standing(connector)
    if found.troubles:
        raise WorkError(f"{connector.name}: {'; '.join(found.troubles)}: `topline debezium apply` brings it there")
    if any(name.startswith(("signal.", "read.only")) for name in found.drift):
        raise WorkError(f"{connector.name} does not listen where topline.yml says: `topline debezium apply` sets it")


def _send(cluster: Cluster, connector: Connector, signal: bytes) -> None:
    doing = f"write to {connector.signals}"
    failed: list[KafkaError] = []

    def note(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    sender = cluster.client.sender()
    # Debezium obeys what has its prefix as the key.
    sender.produce(connector.signals, signal, connector.config["topic.prefix"].encode(), on_delivery=note)
    if sender.flush(cluster.timeout):
        raise TransientError(f"Kafka: cannot {doing}: the brokers do not answer")
    if failed:
        raise failure(failed[0], doing)
