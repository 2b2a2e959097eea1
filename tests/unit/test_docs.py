"""Docs that are made from code are not stale, and what README promises exists."""

import re
from pathlib import Path

from topline.cli.main import app
from topline.cli.reference import reference
from topline.ingest.debezium import connector, postgres

ROOT = Path(__file__).resolve().parents[2]


def test_the_configuration_page_is_what_the_code_declares() -> None:
    stored = (ROOT / "docs" / "configuration.md").read_text()
    assert stored == reference(), "stale: python -m topline.cli.reference > docs/configuration.md"


def test_the_modes_of_debezium_are_listed_as_they_are() -> None:
    page = (ROOT / "docs" / "kafka.md").read_text()
    assert [
        name for name, value in {**connector.VALUES, **postgres.VALUES}.items() if f"| `{name}` | `{value}` |" not in page
    ] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken


def test_every_command_that_the_docs_show_exists() -> None:
    commands = {c.name or (c.callback and c.callback.__name__) for c in app.registered_commands} | {
        group.name for group in app.registered_groups
    }
    text = "\n".join(page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    shown = set(re.findall(r"`topline ([a-z-]+)|^(?:\S*/)?topline ([a-z-]+)", text, re.MULTILINE))
    assert {a or b for a, b in shown} <= commands
