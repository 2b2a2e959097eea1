"""A broker that lets in only whom it knows: by certificates and passwords, each to what it may read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.connect import Connect
from tests.cluster.guarded import PASSWORDS, TOPIC, Guarded, guarding, login
from tests.cluster.process import free_ports
from tests.cluster.shop import Shop, changed
from tests.cluster.stack import JARS
from tests.polling import until
from tests.project import TestProject, new_project
from tests.servers import certificates
from topline.errors import ConfigError, SourceNotReady
from topline.kafka.java import java_settings
from topline.kafka.settings import KafkaSettings
from topline.schema import Column, TableSchema, Type
from topline.sources.base import Context, Resume
from topline.sources.kafka import Settings, create
from topline.sources.kafka.source import KafkaSource

pytestmark = pytest.mark.cluster
TABLE = TableSchema("shop.salesmen", (Column("salesman_id", Type.TEXT), Column("salesman_name", Type.TEXT)), ("salesman_id",))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarding(tmp_path_factory.mktemp("guarded")) as made:
        yield made


def reader(guarded: Guarded, door: KafkaSettings) -> KafkaSource:
    """The source of the one topic, over this door."""
    context = Context("shop", {"salesmen": TABLE}, guarded.root, guarded.root / ".topline", door)
    return create(context, Settings(tables={"salesmen": TOPIC}))


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
    source = reader(guarded, guarded.door(listener, sasl=login("reader", mechanism), **way))
    assert source.check() == []
    assert names(source) == ["Anna"]


def test_certificates_both_ways(guarded: Guarded) -> None:
    assert names(reader(guarded, guarded.door("tls", tls={"ca": guarded.pem("ca")}))) == ["Anna"]
    client = {"certificate": guarded.pem("client"), "key": guarded.key("client")}
    assert names(reader(guarded, guarded.door("mutual", tls={"ca": guarded.pem("ca"), **client}))) == ["Anna"]
    locked = {**client, "key": guarded.key("locked"), "key_password": certificates.LOCKED}
    assert names(reader(guarded, guarded.door("mutual", tls={"ca": guarded.pem("ca"), **locked}))) == ["Anna"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_named(guarded: Guarded, mechanism: str) -> None:
    sasl = login("reader", mechanism, "a guess")
    source = reader(guarded, guarded.door("login", tls={"ca": guarded.pem("ca")}, sasl=sasl))
    refused(source, "uthentication failed")


def test_a_server_that_nobody_vouches_for_is_refused(guarded: Guarded) -> None:
    refused(reader(guarded, guarded.door("tls", tls={"ca": guarded.pem("stranger")})), "certificate verify failed")


def test_a_client_without_a_certificate_is_refused(guarded: Guarded) -> None:
    refused(reader(guarded, guarded.door("mutual", tls={"ca": guarded.pem("ca")})), "certificate")


def refused(source: KafkaSource, words: str) -> None:
    """By `check` and by the engine's reading: SourceNotReady, for no other try heals it."""
    [fault] = source.check()
    assert re.search(words, fault.problem), fault
    with pytest.raises(SourceNotReady, match=words):
        names(source)
    source.close()


@pytest.mark.parametrize(
    ("user", "words"),
    [("stranger", f"topic {TOPIC}: .*uthoriz"), ("looker", f"settings of topic {TOPIC} .*DESCRIBE_CONFIGS.*uthoriz")],
)
def test_who_may_not_read_a_topic_is_told_which(guarded: Guarded, user: str, words: str) -> None:
    sasl = login(user, "SCRAM-SHA-512")
    refused(reader(guarded, guarded.door("login", tls={"ca": guarded.pem("ca")}, sasl=sasl)), words)


def test_files_that_are_none_are_named(guarded: Guarded) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem: No such file"):
        reader(guarded, guarded.door("tls", tls={"ca": guarded.pem("nowhere")}))
    with pytest.raises(ConfigError, match="PEM files are expected"):
        names(reader(guarded, guarded.door("tls", tls={"ca": guarded.key("client")})))


@pytest.fixture
def project(tmp_path: Path, guarded: Guarded) -> Iterator[TestProject]:
    """The shipped one, its shop behind the guarded broker."""
    made = new_project(tmp_path / "sales")
    (made.folder / "ca.pem").write_text(Path(guarded.pem("ca")).read_text())
    with changed(made.folder) as written:
        written["kafka"] = {
            "brokers": [f"127.0.0.1:{guarded.ports['login']}"],
            "format": "json",
            "timeout": 4,
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


@pytest.fixture
def shop(tmp_path: Path, guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The shipped project, its shop behind Debezium and the guarded broker."""
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORDS["worker"])
    security = java_settings(guarded.door("login", tls={"ca": guarded.pem("ca")}, sasl=login("worker", "PLAIN")), tmp_path)
    address = f"127.0.0.1:{guarded.ports['login']}"
    connect = Connect(JARS / "kafka", JARS / "connect", tmp_path / "connect", free_ports(1)[0], address, security=security)
    connect.process.start()
    made = new_project(tmp_path / "sales")
    with changed(made.folder) as written:
        written["kafka"] = {**guarded.worker, "prefix": "guarded", "connect": {"url": connect.url}}
        written["sources"]["shop"]["from"] = "kafka"
    with made.server() as server:
        for database in ("shop", "topline"):
            server.dsn(database)
        shop = Shop(made, f"127.0.0.1:{guarded.ports['plain']}", "guarded")
        shop.create()
        yield shop
        made.call("debezium", "remove")
        connect.process.stop()


@pytest.mark.long
def test_debezium_works_in_a_guarded_cluster_and_shows_no_secret(shop: Shop) -> None:
    """Its records by the worker's own clients, its signals by a client that `apply` tells how to get in."""
    shop.sql("INSERT INTO salesmen VALUES ('s1', 'Anna')")
    shop.project.call("debezium", "apply")
    until(lambda: [event.op for event in shop.events("salesmen")] == ["r"], timeout=60, every=0.5)
    shop.project.call("debezium", "signal", "shop", "salesmen")
    until(lambda: [event.op for event in shop.events("salesmen")] == ["r", "r"], timeout=90, every=0.5)
    with changed(shop.project.folder) as written:
        written["kafka"]["sasl"]["mechanism"] = "PLAIN"
    shown = shop.project.call("debezium", "status", expect=1)
    assert "signal.consumer.sasl.mechanism is 'SCRAM-SHA-512', topline.yml says 'PLAIN'" in shown
    assert "signal.consumer.sasl.jaas.config is '(hidden)', topline.yml says '(hidden)'" in shown
    assert not any(password in shown for password in PASSWORDS.values())
