"""What cannot be read is kept byte for byte, holds back no neighbour, and is read again once the settings are right."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.ledger import Ledger
from tests.integration.sources.rest.asking import THINGS, always, serving, source
from tests.servers.http import Reply
from topline.changes import DeadLetter, TableChanges
from topline.config import load_project
from topline.errors import ConfigError
from topline.sources.base import Resume
from topline.sources.registry import build


def letters(url: str, root: Path, table: dict[str, Any], **more: Any) -> tuple[dict[str, str | None], list[DeadLetter]]:
    pulled, ledger = source(url, root, table, every=60, **more), Ledger()
    pulled.open(Resume())
    while not pulled.reached_end():
        if (batch := pulled.read(10, 0.05)) is not None:
            ledger.commit(batch)
    pulled.close()
    return dict(ledger.rows), list(ledger.letters)


@pytest.mark.parametrize(
    ("body", "wrong", "right", "raw"),
    [
        (b'[{"id": 1}, {"nr": 2.0}]', {}, {"fields": {"id": "id || nr"}}, b'{"nr": 2.0}'),
        (b'[{"id": 1}, {"id": "\xe9"}]', {}, {"encoding": "latin-1"}, b'{"id": "\xe9"}'),
        (
            b'{"id": 1}\n{"nr": 2}\r\n',
            {"format": "ndjson"},
            {"fields": {"id": "id || nr"}, "format": "ndjson"},
            b'{"nr": 2}\r\n',
        ),
        (b"id,value\n1,\n\xe9,x\n", {"format": "csv"}, {"format": "csv", "encoding": "latin-1"}, b"\xe9,x\n"),
    ],
)
def test_a_letter_is_read_again_under_other_settings(
    tmp_path: Path, body: bytes, wrong: dict[str, Any], right: dict[str, Any], raw: bytes
) -> None:
    with serving(always(Reply(body))) as server:
        rows, (letter,) = letters(server.url, tmp_path, wrong)
        assert list(rows) == ["1"]
        assert letter.raw == raw
        assert letter.locator == "page 1, record 2"
        still = source(server.url, tmp_path, wrong).reread(letter)
        assert isinstance(still, DeadLetter)
        assert still.reason == letter.reason
        again = source(server.url, tmp_path, right).reread(letter)
        assert isinstance(again, TableChanges)
        assert again.rows["id"].to_pylist() in (["2.0"], ["2"], ["é"])


PROJECT = """
project: test
sources:
  origin:
    kind: rest
    url: ${env:TEST_SERVICE}
    auth: {type: bearer, token: "${file:token}"}
    tables:
      things: {path: /things%s}
"""


def project(root: Path, more: str = "") -> Any:
    (root / "topline.yml").write_text(textwrap.dedent(PROJECT % more))
    (root / "token").write_text("t-1\n")
    return build(load_project(root), {"origin.things": THINGS}, lambda _, name: name)


def test_a_source_of_a_project_has_its_references_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(always(Reply('[{"id": 1}]'))) as server:
        monkeypatch.setenv("TEST_SERVICE", server.url)
        (made,) = project(tmp_path)
        assert made.check() == []
        assert [table.to_pylist() for table in made.current("things")] == [[{"id": "1", "value": None}]]
        assert server.asked[0].headers["authorization"] == "Bearer t-1"


def test_a_fault_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVICE", "https://shop.example")
    with pytest.raises(ConfigError, match=r"topline\.yml:9: sources\.origin\.tables\.things\.rows: .* is no JMESPath"):
        project(tmp_path, ", rows: 'a['")


def test_a_proxy_is_asked_where_one_is_named_and_only_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the environment is not."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(always(Reply('[{"id": 1}]'))) as proxy:
        rows, _ = letters("http://shop.example", tmp_path, {"path": "/things"}, proxy=proxy.url)
        assert list(rows) == ["1"]
        assert proxy.asked[0].target == "http://shop.example/things"
        rows, _ = letters(proxy.url, tmp_path, {"path": "/things"})
        assert list(rows) == ["1"]
        assert proxy.asked[-1].target == "/things"
