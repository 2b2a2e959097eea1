"""Macros lie where dbt_project.yml says, as for dbt: in the project, or in another one's folder."""

import shutil
from pathlib import Path

import pytest

from tests.unit.models.relations import SALES
from tests.unit.models.small import project
from topline.models import ModelErrors, load
from topline.models.plan import ProjectPlan

MODEL = {"m": "select id, {{ try_decimal('price') }} as price from $t"}


def loaded(folder: Path, setting: str) -> ProjectPlan:
    (folder / "dbt_project.yml").write_text(f"name: small\n{setting}\n")
    return load(folder, name="small", time_zone="UTC", currency="EUR", vars={})


def test_macros_of_another_folder_mean_the_same(tmp_path: Path) -> None:
    own = loaded(project(tmp_path / "own", MODEL), "")
    shutil.copytree(SALES / "macros", tmp_path / "shared" / "macros")
    other = project(tmp_path / "other", MODEL)
    shutil.rmtree(other / "macros")

    lent = loaded(other, "macro-paths: [macros, ../shared/macros]")

    assert lent.models["m"].sql_duckdb == own.models["m"].sql_duckdb
    assert lent.fingerprint == own.fingerprint


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("macro-paths: [macros, ../nowhere]", "dbt_project.yml:2: macro-paths names '../nowhere'"),
        ("macro-paths: macros", "macro-paths is a list of folders"),
    ],
)
def test_folders_that_are_not_there_are_named(setting: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelErrors, match=message):
        loaded(project(tmp_path / "own", MODEL), setting)


def test_a_macro_of_another_folder_that_is_broken_is_named_by_its_way_there(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "broken.sql").write_text("{% macro x( %}")

    with pytest.raises(Exception, match=r"\.\./shared/broken\.sql:1"):
        loaded(project(tmp_path / "own", MODEL), "macro-paths: [macros, ../shared]")
