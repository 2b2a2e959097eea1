"""Given a topline.yml with sources, when they are built, then they are sources, or every fault is named with its line."""

from pathlib import Path

import pytest

from topline.config import load_project
from topline.errors import ConfigError
from topline.schema import Column, TableSchema, Type
from topline.sources.registry import KINDS, build, settings_of

GOOD = """\
project: sales
sources:
  branches:
    kind: files
    tables:
      sales:
        path: inbox
"""


def table(name: str, *columns: str, kind: Type = Type.TEXT, key: tuple[str, ...] = ("id",)) -> dict[str, TableSchema]:
    return {name: TableSchema(name, tuple(Column(column, kind) for column in columns or ("id", "amount")), key)}


def built(folder: Path, text: str, tables: dict[str, TableSchema]) -> list[str]:
    """The sources' names; of faults, their lines without the folder."""
    (folder / "topline.yml").write_text(text)
    try:
        return [source.name for source in build(load_project(folder), tables, lambda _, name: f"dbname={name}")]
    except ConfigError as error:
        return str(error).replace(f"{folder.resolve()}/", "").splitlines()


def test_each_source_gets_its_own_tables(tmp_path: Path) -> None:
    assert built(tmp_path, GOOD, table("branches.sales")) == ["branches"]


def test_every_fault_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
project: sales
sources:
  branches:
    kind: files
    settle: soon
    tables:
      sales: {path: inbox, quote: "::"}
  partner:
    kind: soup
  other:
    path: x
"""
    tables = {**table("branches.sales"), **table("shop.orders"), **table("partner.sales"), **table("other.sales")}
    faults = built(tmp_path, text, tables)
    assert [fault.rpartition("; ")[0] or fault.rpartition(" (")[0] for fault in faults] == [
        "topline.yml:2: sources: the models declare shop.orders, but no source 'shop' is configured",
        "topline.yml:5: sources.branches.settle: Input should be a valid number, unable to parse string as a number",
        "topline.yml:7: sources.branches.tables.sales.quote: String should have at most 1 character",
        "topline.yml:9: sources.partner.kind: unknown kind 'soup'",
        "topline.yml:10: sources.other.kind: `kind` is missing",
    ]
    assert faults[1].endswith("(found 'soon')")
    assert faults[3].endswith(f"allowed: {', '.join(sorted(KINDS))}")


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (table("shop.orders"), "the models declare no table of this source"),
        (table("branches.returns"), "tables.sales: not declared in the models' sources"),
        (
            {**table("branches.sales"), **table("branches.returns")},
            "tables: 'returns' is declared in the models' sources, but has",
        ),
        (table("branches.sales", kind=Type.DATE), "tables.sales: column 'id' is DATE; a file brings text"),
        (table("branches.sales", key=()), "tables.sales: no key is declared"),
        (table("branches.sales", "_line", key=("_line",)), "_line is a key only together with _file"),
    ],
)
def test_declarations_and_files_must_agree(tmp_path: Path, tables: dict[str, TableSchema], words: str) -> None:
    faults = built(tmp_path, GOOD, tables)
    assert any(words in fault and fault.startswith("topline.yml:") for fault in faults), faults


def test_secrets_are_resolved_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "hidden;value")
    text = GOOD.replace("inbox", "${env:FOLDER}")
    assert built(tmp_path, text, table("branches.sales")) == ["branches"]
    assert "MISSING" in built(tmp_path, GOOD.replace("inbox", "${env:MISSING}"), table("branches.sales"))[0]
    text = GOOD.replace("path: inbox", "path: inbox\n        encoding: ${env:FOLDER}")
    assert not any("hidden" in fault for fault in built(tmp_path, text, table("branches.sales")))


def test_an_embedded_dsn_becomes_a_running_one(tmp_path: Path) -> None:
    text = "project: sales\nsources:\n  shop: {kind: postgres, dsn: 'embedded:shop'}\n"
    assert built(tmp_path, text, table("shop.orders")) == ["shop"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_described(kind: str) -> None:
    assert all(field.description for field in settings_of(kind).model_fields.values())


SHOP = """\
project: sales
sources:
  webshop:
    kind: rest
    url: https://shop.example.org
    auth: {type: bearer, token: %s}
    every: %s
    tables:
      orders: {path: /orders}
"""


def test_a_secret_in_plain_text_is_refused_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = table("webshop.orders")
    faults = built(tmp_path, SHOP % ("s3cret-word", "60"), orders)
    assert [fault.partition(": ")[2] for fault in faults] == [
        "sources.webshop.auth.token: a secret in plain text; write ${env:NAME} or ${file:/path} in its place"
    ]
    assert "s3cret-word" not in str(built(tmp_path, SHOP % ("[s3cret-word]", "soon"), orders))
    monkeypatch.setenv("SHOP_TOKEN", "s3cret-word")
    assert built(tmp_path, SHOP % ('"${env:SHOP_TOKEN}"', "60"), orders) == ["webshop"]


def test_a_secret_that_comes_from_the_environment_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPLINE_SOURCES__WEBSHOP__AUTH__TOKEN", "s3cret-word")
    assert built(tmp_path, SHOP % ('"${env:OTHER}"', "60"), table("webshop.orders")) == ["webshop"]
