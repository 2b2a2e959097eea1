"""What topline.yml may say below `kafka`: where the cluster is, how to get in, and how topics are made."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from topline.config import Project, Settings
from topline.errors import ConfigError
from topline.section import Section, where

_DAY = 24 * 60 * 60 * 1000  # milliseconds


class Tls(Settings):
    ca: str | None = Field(None, description="File of the authorities to trust (PEM) in place of the system's.")
    certificate: str | None = Field(None, description="Client certificate (PEM, with its chain), relative to the project.")
    key: str | None = Field(None, description="Its private key (PEM).")
    key_password: SecretStr | None = Field(None, description="Password of the private key, by reference.")

    @model_validator(mode="after")
    def _key_and_certificate(self) -> "Tls":
        if bool(self.certificate) != bool(self.key):
            raise ValueError("`certificate` and `key` go together: name both PEM files")
        return self


class Login(Settings):
    username: str = Field(description="User name.")
    password: SecretStr = Field(description="Password, by reference (`${env:NAME}`).")


class Sasl(Login):
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How the password is shown."
    )


class Registry(Settings):
    url: str = Field(
        description="The schema registry's Confluent API: `http://registry:8081`, Apicurio's at `/apis/ccompat/v7`."
    )
    login: Login | None = Field(None, description="User and password, by HTTP basic authentication.")
    tls: Tls = Field(default_factory=lambda: Tls(), description="Certificates. They are always verified.")


class Connect(Settings):
    url: str = Field(description="Kafka Connect's REST API, which `topline debezium` speaks to.")
    login: Login | None = Field(None, description="User and password, by HTTP basic authentication.")
    tls: Tls = Field(default_factory=lambda: Tls(), description="Certificates. They are always verified.")


class Topics(Settings):
    """How topics are made. One that is there is not changed."""

    partitions: int = Field(6, ge=1, le=1000, description="Partitions of a table's topic. Later they cannot be changed.")
    replication: int = Field(-1, ge=-1, le=100, description="Copies of each partition; -1: as the brokers are told.")
    compaction_lag_days: float = Field(
        7, gt=0, description="For so long each change of a key is kept, and a deletion; a reader further behind reads anew."
    )
    dead_letter_days: float = Field(90, gt=0, description="For so long a dead letter stays in `TOPIC.dlq`.")
    settings: dict[str, str] = Field(default_factory=dict, description="Other settings of each topic, by Kafka's names.")

    @property
    def compaction_lag_ms(self) -> int:
        return int(self.compaction_lag_days * _DAY)

    @property
    def dead_letters_ms(self) -> int:
        return int(self.dead_letter_days * _DAY)


class KafkaSettings(Settings):
    brokers: str | list[str] = Field(description="Addresses of some brokers: `host:port`, or a list.")
    format: Literal["avro", "json"] = Field(
        "avro", description="How change events are written: Avro with a schema registry, or JSON."
    )
    prefix: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*)?$",
        description="What every topic's name begins with, a dot after it.",
    )
    sasl: Sasl | None = Field(None, description="User and password for the brokers.")
    tls: Tls | None = Field(None, description="TLS to the brokers; `{}`: with the system's authorities.")
    plain_text: bool = Field(False, description="Allow a password to travel without TLS, where anyone on the way can read it.")
    registry: Registry | None = Field(None, description="Schema registry; `format: avro` needs one.")
    connect: Connect | None = Field(None, description="Kafka Connect, for Debezium.")
    topics: Topics = Field(default_factory=lambda: Topics(), description="How topics are made.")
    timeout: float = Field(30.0, gt=0, le=3600, description="Seconds for which brokers and registry may say nothing.")

    @field_validator("brokers")
    @classmethod
    def _addresses(cls, value: str | list[str]) -> str | list[str]:
        for address in _listed(value):
            host, colon, port = address.rpartition(":")
            if "${" not in address and not (host and colon and port.isdigit() and 0 < int(port) < 65536):
                raise ValueError(f"{address!r} is no address of a broker; write host:port")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "KafkaSettings":
        if self.format == "avro" and self.registry is None:
            raise ValueError("`format: avro` needs a schema registry: name its `registry.url`, or write `format: json`")
        if self.sasl and self.tls is None and not self.plain_text:
            raise ValueError("the password would travel readable; write `tls: {}`, or `plain_text: true` where nobody listens")
        return self

    @property
    def addresses(self) -> str:
        return ",".join(_listed(self.brokers))

    @property
    def protocol(self) -> str:
        """By which the brokers are spoken to, in Kafka's word."""
        return f"{'SASL_' if self.sasl else ''}{'PLAINTEXT' if self.tls is None else 'SSL'}"


def _listed(brokers: str | list[str]) -> list[str]:
    found = brokers.split(",") if isinstance(brokers, str) else brokers
    return [address.strip() for address in found]


def kafka_settings(project: Project) -> KafkaSettings:
    """The project's. ConfigError, a fault a line, also where there are none."""
    raw = project.config.kafka
    if not raw:
        raise ConfigError(f"{where(project, '')}: kafka: the project has no cluster; write `kafka:` with its `brokers`")
    section = Section(project, "kafka", raw)
    settings = section.settings(KafkaSettings)
    if settings is None or section.faults:
        raise ConfigError("\n".join(section.faults))
    return settings


def file_of(root: Path, name: str) -> str:
    """The file that a setting names, relative to the project. ConfigError where it cannot be read."""
    path = root / name
    try:
        with path.open("rb"):
            return str(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; a PEM file is expected") from None
