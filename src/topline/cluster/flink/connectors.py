"""The options of Flink's connectors to Kafka and PostgreSQL, as the project's settings say them; secrets among them.

Source: Flink 2.3, "Apache Kafka SQL connector", "JDBC SQL connector"; pgjdbc 42.7, "Connecting to the database".
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from topline.dsn import parse_dsn
from topline.errors import ConfigError
from topline.kafka.java import java_settings
from topline.kafka.settings import KafkaSettings

_SHADED = "org.apache.flink.kafka.shaded."
_PARAMETER = "pipeline.global-job-parameters.topline"
_PASSED_ON = {"sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey"}


def kafka_options(settings: KafkaSettings, root: Path, group: str) -> dict[str, str]:
    """`group`: under which the job's progress is noted at the brokers. ConfigError as in `java_settings`."""
    options = {"bootstrap.servers": settings.addresses, "group.id": group, **java_settings(settings, root, _SHADED)}
    return {f"properties.{name}": value for name, value in options.items()}


def registry_options(settings: KafkaSettings) -> dict[str, str]:
    """What the job asks for schemas with, as the job's parameters; {} where the records are in JSON. ConfigError for
    a registry that wants a client certificate: it is reached with what the cluster's Java trusts and shows."""
    registry = settings.registry
    if settings.format == "json" or registry is None:
        return {}
    if registry.tls.certificate:
        raise ConfigError("kafka.registry.tls.certificate: the Flink job shows the registry no certificate; give it a login")
    login = registry.login
    shown = {"username": login.username, "password": login.password.get_secret_value()} if login else {}
    return {f"{_PARAMETER}.registry.{name}": value for name, value in {"url": registry.url, **shown}.items()}


def jdbc_options(dsn: str) -> dict[str, str]:
    """To the results database. ConfigError for what JDBC cannot be told."""
    found = {name: str(value) for name, value in parse_dsn(dsn).items() if value is not None}
    host = found.get("host", "localhost")
    if host.startswith("/") or "," in host:
        raise ConfigError(f"results.dsn: Flink reaches PostgreSQL by one host and port; found the host {host!r}")
    # Parameters without a type of their own: PostgreSQL takes each as its column's.
    parameters = {"stringtype": "unspecified", "ApplicationName": "topline flink", **_known(found)}
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    url = f"jdbc:postgresql://{host}:{found.get('port', '5432')}/{quote(found.get('dbname', ''), safe='')}?{query}"
    login = {"username": found.get("user", ""), "password": found.get("password", "")}
    return {"connector": "jdbc", "url": url, **{name: value for name, value in login.items() if value}}


def _known(found: Mapping[str, str]) -> dict[str, str]:
    return {theirs: found[ours] for ours, theirs in _PASSED_ON.items() if ours in found}
