"""A broker that lets in only whom it knows: listeners with certificates and passwords, and rights by user."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)

from tests.cluster.kafka import Kafka
from tests.cluster.process import free_ports
from tests.cluster.shop import TABLES
from tests.cluster.stack import JARS
from tests.servers import certificates
from tests.servers.certificates import Certificates
from topline.kafka.client import Client
from topline.kafka.settings import KafkaSettings, Topics
from topline.kafka.topics import ensure

TOPIC = "shop.public.salesmen"
PASSWORDS = {
    "reader": "reader's secret",
    "stranger": "stranger's secret",
    "worker": "worker's secret",
    "looker": "looker's secret",
}


@dataclass
class Guarded:
    """Its listeners, by name, each with its port; `certificates` in a folder of their own."""

    kafka: Kafka
    certificates: Certificates
    ports: Mapping[str, int]
    root: Path

    def door(self, listener: str, **more: Any) -> KafkaSettings:
        """Where this listener is, and how to get in."""
        given = {"brokers": f"127.0.0.1:{self.ports[listener]}", "format": "json", "timeout": 4, **more}
        return KafkaSettings.model_validate(given)

    @property
    def worker(self) -> dict[str, Any]:
        """`kafka` of a project whose user may do all."""
        sasl = {"username": "worker", "password": "${env:KAFKA_PASSWORD}", "mechanism": "SCRAM-SHA-512"}
        brokers = [f"127.0.0.1:{self.ports['login']}"]
        return {"brokers": brokers, "format": "json", "tls": {"ca": self.pem("ca")}, "sasl": sasl}

    def pem(self, name: str) -> str:
        return str(self.certificates.folder / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.certificates.folder / f"{name}.key")


@contextmanager
def guarding(folder: Path) -> Iterator[Guarded]:
    """It runs meanwhile, in this folder."""
    (folder / "certificates").mkdir()
    made = certificates.made(folder / "certificates")
    numbers = free_ports(6)
    ports = dict(zip(("plain", "controller", "tls", "mutual", "login", "open"), numbers, strict=True))
    kafka = Kafka(JARS / "kafka", folder / "kafka", numbers[:2], _settings(made, ports))
    kafka.start()
    found = Guarded(kafka, made, ports, folder)
    try:
        _fill(found)
        yield found
    finally:
        kafka.stop()


def _settings(made: Certificates, ports: Mapping[str, int]) -> dict[str, str]:
    store = made.folder / "store.pem"
    store.write_text((made.folder / "server.key").read_text() + (made.folder / "server.pem").read_text())
    kinds = {
        "PLAINTEXT": ("plain", "PLAINTEXT"),
        "CONTROLLER": ("controller", "PLAINTEXT"),
        "TLS": ("tls", "SSL"),
        "MUTUAL": ("mutual", "SSL"),
        "LOGIN": ("login", "SASL_SSL"),
        "OPEN": ("open", "SASL_PLAINTEXT"),
    }
    listeners = {name: f"{name}://127.0.0.1:{ports[port]}" for name, (port, _) in kinds.items()}
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    return {
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": ",".join(text for name, text in listeners.items() if name != "CONTROLLER"),
        "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, (_, kind) in kinds.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(made.folder / "ca.pem"),
        "listener.name.mutual.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        **{f"listener.name.{name}.plain.sasl.jaas.config": f"{plain} {users};" for name in ("login", "open")},
        **{f"listener.name.{name}.scram-sha-512.sasl.jaas.config": scram for name in ("login", "open")},
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:worker",
    }


def _fill(guarded: Guarded) -> None:
    """A row, users, and what they may: `looker` reads without seeing settings, `stranger` may nothing."""
    client = Client(guarded.door("plain"), guarded.root)
    admin = client.admin()
    ensure(admin, [f"shop.public.{name}" for name in TABLES], Topics(partitions=2), 30)
    sender = client.sender()
    row = {"before": None, "after": {"salesman_id": "s1", "salesman_name": "Anna"}, "source": {"ts_ms": 1}, "op": "c"}
    sender.produce(TOPIC, json.dumps(row).encode(), b'{"salesman_id":"s1"}')
    assert sender.flush(30) == 0
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    users: list[UserScramCredentialAlteration] = [
        UserScramCredentialUpsertion(name, scram, text.encode()) for name, text in PASSWORDS.items()
    ]
    for future in admin.alter_user_scram_credentials(users).values():
        future.result(30)
    rights = [
        acl for name in ("reader", "CN=client") for acl in [*_reading(name), _may("shop.", name, AclOperation.DESCRIBE_CONFIGS)]
    ]
    for future in admin.create_acls([*rights, *_reading("looker")]).values():
        future.result(30)


def _reading(user: str) -> list[AclBinding]:
    """Read implies Describe."""
    return [_may("shop.", user, AclOperation.READ), _may("topline-", user, AclOperation.READ, ResourceType.GROUP)]


def _may(prefix: str, user: str, right: AclOperation, kind: ResourceType = ResourceType.TOPIC) -> AclBinding:
    return AclBinding(kind, prefix, ResourcePatternType.PREFIXED, f"User:{user}", "*", right, AclPermissionType.ALLOW)


def login(user: str, mechanism: str, password: str = "") -> dict[str, str]:
    """As `kafka.sasl` takes it."""
    return {"username": user, "password": password or PASSWORDS[user], "mechanism": mechanism}
