"""The Flink job as text: what it says, and what it does not show."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.exact.shipped import sales_plan
from topline.cluster.flink.connectors import jdbc_options
from topline.cluster.flink.gateway import reason
from topline.cluster.flink.settings import FlinkSettings
from topline.cluster.flink.work import Work
from topline.cluster.topics import Topic
from topline.errors import ConfigError
from topline.kafka.settings import KafkaSettings
from topline.models import explain

SETTINGS = {"gateway": {"url": "http://flink:8083"}, "cluster": {"url": "http://flink:8081"}}
KAFKA = {
    "brokers": "kafka:9093", "format": "json", "tls": {},
    "sasl": {"username": "reader", "password": "of-the-brokers", "mechanism": "SCRAM-SHA-256"},
}  # fmt: skip


AVRO = {
    **KAFKA, "format": "avro",
    "registry": {"url": "https://registry/apis/ccompat/v7", "login": {"username": "reader", "password": "of-the-registry"}},
}  # fmt: skip


def work(tmp_path: Path, kafka: Mapping[str, object] = KAFKA, **settings: object) -> Work:
    plan = sales_plan()
    topics = [Topic(schema, f"t.{name}", "UTC") for name, schema in plan.tables.items()]
    dsn = "postgresql://writer:of-the-results@db/rankings?sslmode=require"
    declared = FlinkSettings.model_validate({**SETTINGS, **settings})
    return Work(tmp_path, plan, topics, declared, KafkaSettings.model_validate(kafka), (dsn, "topline"))


def test_each_published_model_and_each_topic_has_an_insert_in_one_job(tmp_path: Path) -> None:
    job = work(tmp_path).script("g").job
    assert job.startswith("EXECUTE STATEMENT SET")
    assert job.count("INSERT INTO") == 5 + 6
    assert "`top_salesmen results`" in job
    assert "`shop.orders letters`" in job


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    whole = work(tmp_path, AVRO).script("g").shown()
    shown = work(tmp_path, AVRO).script("g", secrets=False).shown()
    for secret in ("of-the-brokers", "of-the-results", "of-the-registry"):
        assert secret in whole
        assert secret not in shown


def test_the_registry_is_asked_where_records_are_in_avro_only(tmp_path: Path) -> None:
    url = "pipeline.global-job-parameters.topline.registry.url"
    assert url not in work(tmp_path).script("g").settings
    assert work(tmp_path, AVRO).script("g").settings[url] == "https://registry/apis/ccompat/v7"
    certificate = {"url": "https://registry", "tls": {"certificate": "a.pem", "key": "b.pem"}}
    with pytest.raises(ConfigError, match="give it a login"):
        work(tmp_path, {**AVRO, "registry": certificate}).script("g")


def test_other_settings_are_another_job_of_the_same_meaning(tmp_path: Path) -> None:
    first, other = work(tmp_path).script("g"), work(tmp_path, parallelism=2).script("g")
    assert first.digest != other.digest
    assert first.meaning == other.meaning


def test_options_of_the_project_win(tmp_path: Path) -> None:
    script = work(tmp_path, options={"table.exec.state.ttl": "1 d"}).script("g")
    assert script.settings["table.exec.state.ttl"] == "1 d"


def test_postgresql_is_reached_by_one_host() -> None:
    with pytest.raises(ConfigError, match="one host and port"):
        jdbc_options("host=/var/run/postgresql dbname=rankings")


def test_the_last_cause_of_a_stack_trace_is_the_reason() -> None:
    trace = (
        "java.lang.RuntimeException: outer\n\tat a.b\nCaused by: org.x.ValidationException: 'password' = 'secret' is wrong\n"
    )
    assert reason(trace) == "ValidationException: 'password' = '(hidden)' is wrong"


def test_explain_shows_a_models_query() -> None:
    shown = explain(sales_plan(), "top_sales_by_city").sql["flink"]
    assert "FROM `sales`\nGROUP BY `date`, `country`, `region`, `city`" in shown
