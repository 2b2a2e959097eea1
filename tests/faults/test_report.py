"""The table of faults: what was noted is summed up by fault, and a round without an end is not told as a good one."""

import json
from pathlib import Path

import pytest

from tests.faults.report import VARIABLE, note, table


def test_what_was_noted_becomes_a_row_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "build" / "faults.jsonl"
    monkeypatch.setenv(VARIABLE, str(file))
    for seed, restart in ((1, 2.0), (2, 4.0), (2, None)):
        note(fault="kill -9, copy", point=f"copy:{seed}", seed=seed, round=f"round {seed}", kills=1, restart=restart)
    note(fault="kill -9, append", point="append:x", seed=3, round="cut short", kills=1, restart=9.0)
    note(round="round 1", lost=0, doubled=0)
    note(round="round 2", lost=1, doubled=2)
    rows = table(json.loads(line) for line in file.read_text().splitlines()).splitlines()
    assert rows[2:] == [
        "| kill -9, copy | 2 | 2 | 3 | 1 | 2 | 3.0 | 4.0 |",
        "| kill -9, append | 1 | 1 | 1 | ? | ? | 9.0 | 9.0 |",
    ]


def test_nothing_is_noted_unless_somebody_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    note(fault="kill -9", round="1", kills=1)
    assert list(tmp_path.iterdir()) == []
