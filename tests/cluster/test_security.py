"""A broker that lets in only whom it knows: by certificates and passwords, each to what it may read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.cluster.kafka import Kafka
from tests.cluster.process import free_ports
from tests.cluster.shop import TABLES, changed
from tests.cluster.stack import JARS
from tests.project import TestProject, new_project
from tests.servers import certificates
from tests.servers.certificates import Certificates
from topline.errors import ConfigError, SourceNotReady, WorkError
from topline.kafka.client import Client
from topline.kafka.settings import KafkaSettings, Topics
from topline.kafka.topics import ensure
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.kafka import Settings, create
from topline.sources.kafka.source import KafkaSource

pytestmark = pytest.mark.cluster
TOPIC = "shop.public.salesmen"
TABLE = TableSchema("shop.salesmen", (Column("salesman_id", Type.TEXT), Column("salesman_name", Type.TEXT)), ("salesman_id",))
PASSWORDS = {"reader": "reader's secret", "stranger": "stranger's secret"}


@dataclass
class Guarded:
    """Its listeners, by name, each with its port; `certificates` in a folder of their own."""

    kafka: Kafka
    certificates: Certificates
    ports: Mapping[str, int]
    root: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def door(self, listener: str, **more: Any) -> KafkaSettings:
        """Where this listener is, and how to get in."""
        given = {"brokers": f"127.0.0.1:{self.ports[listener]}", "format": "json", "timeout": 8, **more}
        return KafkaSettings.model_validate(given)

    def pem(self, name: str) -> str:
        return str(self.certificates.folder / f"{name}.pem")

    def key(self, name: str) -> str:
        return str(self.certificates.folder / f"{name}.key")

    def source(self, door: KafkaSettings) -> KafkaSource:
        context = Context("shop", {"salesmen": TABLE}, self.root, self.root / ".topline", door)
        return create(context, Settings(tables={"salesmen": TOPIC}))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "certificates").mkdir()
    made = certificates.made(folder / "certificates")
    numbers = free_ports(6)
    ports = dict(zip(("plain", "controller", "tls", "mutual", "login", "open"), numbers, strict=True))
    kafka = Kafka(JARS / "kafka", folder / "kafka", numbers[:2], _settings(made, ports))
    kafka.start()
    found = Guarded(kafka, made, ports, folder)
    _fill(found)
    yield found
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
        "super.users": "User:ANONYMOUS",
    }


def _fill(guarded: Guarded) -> None:
    """A row, users, and what they may: `reader` and the client's certificate read the topic, `stranger` nothing."""
    client = Client(guarded.door("plain"), guarded.root)
    admin = client.admin()
    ensure(admin, [f"shop.public.{name}" for name in TABLES], Topics(partitions=2), 30)
    sender = client.sender()
    row = {"before": None, "after": {"salesman_id": "s1", "salesman_name": "Anna"}, "source": {"ts_ms": 1}, "op": "c"}
    sender.produce(TOPIC, json.dumps(row).encode(), b'{"salesman_id":"s1"}')
    assert sender.flush(30) == 0
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    users = [UserScramCredentialUpsertion(name, scram, text.encode()) for name, text in PASSWORDS.items()]
    for future in admin.alter_user_scram_credentials(users).values():
        future.result(30)
    for future in admin.create_acls([acl for name in ("reader", "CN=client") for acl in _acls(name)]).values():
        future.result(30)


def _acls(user: str) -> list[AclBinding]:
    places = [(ResourceType.TOPIC, "shop."), (ResourceType.GROUP, "topline-")]
    rights = [AclOperation.READ, AclOperation.DESCRIBE]
    rights_ = [(place, right) for place in places for right in rights] + [(places[0], AclOperation.DESCRIBE_CONFIGS)]
    return [
        AclBinding(kind, name, ResourcePatternType.PREFIXED, f"User:{user}", "*", right, AclPermissionType.ALLOW)
        for (kind, name), right in rights_
    ]


def login(user: str, mechanism: str, password: str = "") -> dict[str, str]:
    return {"username": user, "password": password or PASSWORDS[user], "mechanism": mechanism}


def names(source: KafkaSource) -> list[str]:
    """Read to the end, as the engine reads it."""
    found: list[str] = []
    source.open(Resume())
    try:
        while not source.reached_end():
            if (batch := source.read(100, 1.0)) is not None:
                found += [name for part in batch.parts for name in part.rows["salesman_name"].to_pylist()]  # type: ignore[union-attr]
    finally:
        source.close()
    return found


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
@pytest.mark.parametrize("listener", ["login", "open"])
def test_a_user_with_a_password_reads(guarded: Guarded, listener: str, mechanism: str) -> None:
    way: dict[str, Any] = {"tls": {"ca": guarded.pem("ca")}} if listener == "login" else {"plain_text": True}
    source = guarded.source(guarded.door(listener, sasl=login("reader", mechanism), **way))
    assert source.check() == []
    assert names(source) == ["Anna"]


def test_certificates_both_ways(guarded: Guarded) -> None:
    assert names(guarded.source(guarded.door("tls", tls={"ca": guarded.pem("ca")}))) == ["Anna"]
    client = {"certificate": guarded.pem("client"), "key": guarded.key("client")}
    assert names(guarded.source(guarded.door("mutual", tls={"ca": guarded.pem("ca"), **client}))) == ["Anna"]
    locked = {**client, "key": guarded.key("locked"), "key_password": certificates.LOCKED}
    assert names(guarded.source(guarded.door("mutual", tls={"ca": guarded.pem("ca"), **locked}))) == ["Anna"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_named(guarded: Guarded, mechanism: str) -> None:
    sasl = login("reader", mechanism, "a guess")
    source = guarded.source(guarded.door("login", tls={"ca": guarded.pem("ca")}, sasl=sasl))
    refused(source, "uthentication failed")


def test_a_server_that_nobody_vouches_for_is_refused(guarded: Guarded) -> None:
    refused(guarded.source(guarded.door("tls", tls={"ca": guarded.pem("stranger")})), "certificate verify failed")


def test_a_client_without_a_certificate_is_refused(guarded: Guarded) -> None:
    refused(guarded.source(guarded.door("mutual", tls={"ca": guarded.pem("ca")})), "certificate")


def refused(source: KafkaSource, words: str) -> None:
    """By `check` and by the engine's reading: SourceNotReady, for no other try heals it."""
    [fault] = source.check()
    assert words in fault.message, fault
    with pytest.raises(SourceNotReady, match=words):
        names(source)
    source.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_who_may_not_read_a_topic_is_told_which(guarded: Guarded, mechanism: str) -> None:
    sasl = login("stranger", mechanism)
    source = guarded.source(guarded.door("login", tls={"ca": guarded.pem("ca")}, sasl=sasl))
    refused(source, f"topic {TOPIC}.*uthoriz")


def test_files_that_are_none_are_named(guarded: Guarded) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem: No such file"):
        guarded.source(guarded.door("tls", tls={"ca": guarded.pem("nowhere")}))
    with pytest.raises(WorkError):
        names(guarded.source(guarded.door("tls", tls={"ca": guarded.key("client")})))


@pytest.fixture
def project(tmp_path: Path, guarded: Guarded) -> Iterator[TestProject]:
    """The shipped one, its shop behind the guarded broker."""
    made = new_project(tmp_path / "sales")
    (made.folder / "ca.pem").write_text(Path(guarded.pem("ca")).read_text())
    with changed(made.folder) as written:
        written["kafka"] = {
            "brokers": [f"127.0.0.1:{guarded.ports['login']}"],
            "format": "json",
            "timeout": 8,
            "tls": {"ca": "ca.pem"},
            "sasl": {"username": "reader", "password": "${env:KAFKA_PASSWORD}"},
        }
        written["sources"]["shop"]["from"] = "kafka"
    with made.server() as server:
        for database in ("shop", "topline"):
            server.dsn(database)
        yield made


def test_check_gets_in_as_topline_yml_says(project: TestProject) -> None:
    assert "no faults" in project.call("check", env={"KAFKA_PASSWORD": PASSWORDS["reader"]})
    bad = project.call("check", expect=2, env={"KAFKA_PASSWORD": "a guess"})
    assert "sources.shop" in bad
    assert "uthentication failed" in bad
    assert "a guess" not in bad
    assert "KAFKA_PASSWORD" in project.call("check", expect=2)
