"""The cluster's settings as Kafka's own client takes them, by which Spark reads: certificates as texts, not as files."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from topline.kafka.settings import KafkaSettings, Sasl, Tls, file_of

_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def options(settings: KafkaSettings, root: Path) -> Mapping[str, str]:
    """Options of Spark's Kafka source. ConfigError for a file that cannot be read. Only what is committed is read."""
    protocol = f"{'SASL_' if settings.sasl else ''}{'PLAINTEXT' if settings.tls is None else 'SSL'}"
    found = {
        "bootstrap.servers": settings.addresses,
        "security.protocol": protocol,
        "isolation.level": "read_committed",
        "request.timeout.ms": str(int(settings.timeout * 1000)),
        **dict(_sasl(settings.sasl)),
        **dict(_tls(settings.tls, root)),
    }
    return {f"kafka.{name}": value for name, value in found.items()}


def _sasl(sasl: Sasl | None) -> Iterator[tuple[str, str]]:
    if sasl is not None:
        login = f"username={_quoted(sasl.username)} password={_quoted(sasl.password.get_secret_value())}"
        yield "sasl.mechanism", sasl.mechanism
        yield "sasl.jaas.config", f"{_MODULES[sasl.mechanism]} required {login};"


def _tls(tls: Tls | None, root: Path) -> Iterator[tuple[str, str]]:
    if tls is None:
        return
    if tls.ca:
        yield "ssl.truststore.type", "PEM"
        yield "ssl.truststore.certificates", _text(root, tls.ca)
    if tls.certificate and tls.key:
        yield "ssl.keystore.type", "PEM"
        yield "ssl.keystore.certificate.chain", _text(root, tls.certificate)
        yield "ssl.keystore.key", _text(root, tls.key)
    if tls.key_password is not None:
        yield "ssl.key.password", tls.key_password.get_secret_value()


def _text(root: Path, name: str) -> str:
    return Path(file_of(root, name)).read_text(encoding="utf-8")


def _quoted(value: str) -> str:
    """As JAAS writes a text."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
