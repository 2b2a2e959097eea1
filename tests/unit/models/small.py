"""A small project in a temporary folder: one source with two tables, the shipped macros, and the models of one test."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.unit.models.relations import SALES
from topline.models import load
from topline.models.plan import ProjectPlan

SOURCES = """
sources:
  - name: s
    tables:
      - name: t
        config: {meta: {key: [id]}}
        columns:
          - {name: id, data_type: text}
          - {name: day, data_type: date}
          - {name: moment, data_type: timestamptz}
          - {name: name, data_type: text}
          - {name: number, data_type: bigint}
          - {name: price, data_type: numeric}
          - {name: ok, data_type: boolean}
      - name: u
        config: {meta: {key: [id]}}
        columns:
          - {name: id, data_type: text}
          - {name: t_id, data_type: text}
          - {name: label, data_type: text}
          - {name: number, data_type: bigint}
"""
T, U = "{{ source('s', 't') }}", "{{ source('s', 'u') }}"


def project(folder: Path, models: Mapping[str, str], notes: str = "", sources: str = SOURCES) -> Path:
    """Models by name, `$t` and `$u` standing for the two tables; `notes` is a YAML file beside them."""
    live = folder / "models" / "live"
    live.mkdir(parents=True)
    shutil.copytree(SALES / "macros", folder / "macros")
    (folder / "dbt_project.yml").write_text("name: small\nvars: {factor: 2}\n", encoding="utf-8")
    (live / "sources.yml").write_text(sources, encoding="utf-8")
    (live / "notes.yml").write_text(notes, encoding="utf-8")
    for name, sql in models.items():
        (live / f"{name}.sql").write_text(sql.replace("$t", T).replace("$u", U), encoding="utf-8")
    return folder


def plan(folder: Path, models: Mapping[str, str], notes: str = "", sources: str = SOURCES) -> ProjectPlan:
    return load(project(folder, models, notes, sources), name="small", time_zone="Europe/Rome", currency="EUR", vars={})
