"""topline.yml: what wins over what, what is refused and in which words, and secrets that are shown nowhere."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from topline.cli.opening import open_project
from topline.config import Project, load_project
from topline.dsn import parse_dsn
from topline.errors import ConfigError

PASSWORD = "s3cr@t/%zz' \\x"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, "project: sales\nengine:\n  batch_rows: 1\n")


def write(folder: Path, text: str, env: str = "") -> Path:
    (folder / "topline.yml").write_text(text)
    (folder / ".env").write_text(env)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_project(folder)
    return str(caught.value)


def test_flag_over_environment_over_dotenv_over_file_over_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(overrides: list[str] | None = None) -> int:
        return open_project(folder, overrides).config.engine.batch_rows

    (folder / "topline.yml").write_text("project: sales\n")
    assert rows() == 100_000
    (folder / "topline.yml").write_text("project: sales\nengine: {batch_rows: 1}\n")
    assert rows() == 1
    (folder / ".env").write_text("TOPLINE_ENGINE__BATCH_ROWS=2\n")
    assert rows() == 2
    monkeypatch.setenv("TOPLINE_ENGINE__BATCH_ROWS", "3")
    assert rows() == 3
    assert rows(["engine.batch_rows=4"]) == 4


def test_a_variable_reaches_into_what_the_file_leaves_empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "project: sales\nresults:\nengine: 7\n")
    monkeypatch.setenv("TOPLINE_RESULTS__SCHEMA", "mine")
    monkeypatch.setenv("TOPLINE_ENGINE__BATCH_ROWS", "3")
    config = load_project(folder).config
    assert (config.results.schema_, config.engine.batch_rows) == ("mine", 3)


def test_an_unknown_variable_is_named_with_what_was_meant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPLINE_ENGINE__BATCHROWS", "3")
    monkeypatch.setenv("TOPLINE_NOISE", "[")
    shown = refusal(folder)
    assert "environment: TOPLINE_ENGINE__BATCHROWS: engine.batchrows: there is no such setting; perhaps" in shown
    assert "environment: TOPLINE_NOISE: noise: there is no such setting; allowed here: project, time_zone" in shown
    assert "extra" not in shown.lower()


def test_a_wrong_value_is_named_with_the_place_that_it_came_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "project: sales\ntime_zone: Mars/Base\n", "TOPLINE_API__PORT=many\n")
    monkeypatch.setenv("TOPLINE_ENGINE__BATCH_ROWS", "0")
    shown = refusal(folder)
    assert f"{folder / 'topline.yml'}:2: time_zone: 'Mars/Base' is not an IANA time zone" in shown
    assert f"{folder / '.env'}: TOPLINE_API__PORT: api.port: " in shown
    assert "environment: TOPLINE_ENGINE__BATCH_ROWS: engine.batch_rows: " in shown
    assert shown.count("\n") == 2


@pytest.mark.parametrize(
    "text",
    [
        "results: {dsn: 'postgresql://topline:hunter2@db/x'}",
        "results: {dsn: 'host=db password=hunter2'}",
        "results: {dsn: 'postgresql://db/x?password=hunter2'}",
        "results: {dsn: 'postgresql://topline:hunter2/slash@db/x'}",
        "sources: {shop: 'postgresql://topline:hunter2@db/x'}",
        "vars: {a: ['host=db password=hunter2']}",
    ],
)
def test_a_password_in_plain_text_is_refused_and_not_repeated(folder: Path, text: str) -> None:
    write(folder, f"project: sales\n{text}\n")
    shown = refusal(folder)
    assert "a password in plain text; write ${env:NAME} or ${file:/path} in its place" in shown
    assert "hunter2" not in shown


def test_a_dsn_from_the_environment_may_hold_its_password_and_is_kept_as_a_reference(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOPLINE_RESULTS__DSN", "postgresql://topline:hunter2@db/x")
    project = load_project(folder)
    assert "hunter2" not in str(project.config)
    assert project.secret(project.config.results.dsn) == "postgresql://topline:hunter2@db/x"


@pytest.mark.parametrize(
    "dsn", ["postgresql://me:${env:P}@db:5432/shop", "host=db port=5432 user=me dbname=shop password=${env:P}"]
)
def test_a_secret_may_have_any_character(folder: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("P", PASSWORD)
    found = conninfo_to_dict(load_project(folder).secret(dsn))
    assert found == {"user": "me", "password": PASSWORD, "host": "db", "port": "5432", "dbname": "shop"}


def test_a_secret_is_read_from_a_file_and_a_missing_one_is_named(folder: Path) -> None:
    (folder / "secret").write_text("hunter2\n")
    project: Project = load_project(folder)
    assert project.secret("${file:secret}") == "hunter2"
    for reference in ("${file:nowhere}", "${env:NOWHERE}"):
        with pytest.raises(ConfigError, match=r"(?i)nowhere"):
            project.secret(reference)


@pytest.mark.parametrize("dsn", ["postgresql://me:hunter2%zz@db/x", "hunter2", "postgresql://me:hunter@hunter2@db/x"])
def test_a_dsn_that_cannot_be_read_is_refused_without_showing_it(dsn: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_dsn(dsn)
    assert "hunter" not in str(caught.value)
