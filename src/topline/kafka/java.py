"""How to get into the cluster, as Java's clients (Connect's, Flink's, Spark's) take it: certificates travel in the settings,
for our files are not theirs. And which settings hold a secret."""

from collections.abc import Iterator
from pathlib import Path

from topline.errors import ConfigError
from topline.kafka.settings import KafkaSettings, Sasl, Tls, file_of

_LOGIN = {"PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule"}
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
SECRETS = ("password", "jaas", "keystore.key", "basic.auth.user.info", "basic-auth")
"""What is in the name of a setting that holds a secret."""
HIDDEN = "(hidden)"


def hidden(name: str, value: str) -> str:
    """A setting's value as it may be shown."""
    return HIDDEN if any(word in name for word in SECRETS) else value


def java_settings(settings: KafkaSettings, root: Path, shaded: str = "") -> dict[str, str]:
    """Secrets among them. `shaded`: what stands before the names of Kafka's classes where they were moved. ConfigError for a
    file that cannot be read, or that Java does not read."""
    return {
        "security.protocol": settings.protocol,
        **dict(_tls(settings.tls, root)),
        **dict(_sasl(settings.sasl, shaded)),
    }


def _sasl(sasl: Sasl | None, shaded: str) -> Iterator[tuple[str, str]]:
    if sasl is None:
        return
    login = f"username={_quoted(sasl.username)} password={_quoted(sasl.password.get_secret_value())}"
    yield "sasl.mechanism", sasl.mechanism
    yield "sasl.jaas.config", f"{shaded}{_LOGIN.get(sasl.mechanism, _SCRAM)} required {login};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _tls(tls: Tls | None, root: Path) -> Iterator[tuple[str, str]]:
    if tls is None:
        return
    if tls.ca:
        yield "ssl.truststore.type", "PEM"
        yield "ssl.truststore.certificates", Path(file_of(root, tls.ca)).read_text()
    if tls.certificate and tls.key:
        yield "ssl.keystore.type", "PEM"
        yield "ssl.keystore.certificate.chain", Path(file_of(root, tls.certificate)).read_text()
        yield "ssl.keystore.key", _key(Path(file_of(root, tls.key)))
    if tls.key_password is not None:
        yield "ssl.key.password", tls.key_password.get_secret_value()


def _key(path: Path) -> str:
    text = path.read_text()
    if "-----BEGIN PRIVATE KEY-----" in text or "-----BEGIN ENCRYPTED PRIVATE KEY-----" in text:
        return text
    raise ConfigError(f"{path}: Java's clients read keys in PKCS#8 only; make it one: openssl pkcs8 -topk8 -in KEY -out NEW")
