"""The options of Flink's connectors to Kafka and PostgreSQL, as the project's settings say them; secrets among them.

Source: Flink 2.3, "Apache Kafka SQL connector", "JDBC SQL connector"; pgjdbc 42.7, "Connecting to the database".
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from topline.dsn import parse_dsn
from topline.errors import ConfigError
from topline.kafka.settings import KafkaSettings, Tls, file_of

_SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
_PASSED_ON = {"sslmode": "sslmode", "sslrootcert": "sslrootcert", "sslcert": "sslcert", "sslkey": "sslkey"}


def kafka_options(settings: KafkaSettings, root: Path, group: str) -> dict[str, str]:
    """`group`: under which the job's progress is noted at the brokers. Certificates travel in the options themselves, so that
    no file need lie on Flink's machines."""
    options = {"bootstrap.servers": settings.addresses, "group.id": group, "security.protocol": _protocol(settings)}
    if settings.tls is not None:
        options |= _tls(settings.tls, root)
    if settings.sasl is not None:
        module = "plain.PlainLoginModule" if settings.sasl.mechanism == "PLAIN" else "scram.ScramLoginModule"
        password = _java(settings.sasl.password.get_secret_value())
        options["sasl.mechanism"] = settings.sasl.mechanism
        options["sasl.jaas.config"] = (
            f'{_SHADED}.{module} required username="{_java(settings.sasl.username)}" password="{password}";'
        )
    return {f"properties.{name}": value for name, value in options.items()}


def _protocol(settings: KafkaSettings) -> str:
    return f"{'SASL_' if settings.sasl else ''}{'PLAINTEXT' if settings.tls is None else 'SSL'}"


def _tls(tls: Tls, root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    if tls.ca:
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": _content(root, tls.ca)}
    if tls.certificate and tls.key:
        found["ssl.keystore.type"] = "PEM"
        found["ssl.keystore.certificate.chain"] = _content(root, tls.certificate)
        found["ssl.keystore.key"] = _content(root, tls.key)
    if tls.key_password is not None:
        found["ssl.key.password"] = tls.key_password.get_secret_value()
    return found


def _content(root: Path, name: str) -> str:
    return Path(file_of(root, name)).read_text(encoding="ascii")


def _java(value: str) -> str:
    """Inside the quotes of a JAAS setting."""
    return value.replace("\\", "\\\\").replace('"', '\\"')


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
