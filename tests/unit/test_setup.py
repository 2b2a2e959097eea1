"""What a newcomer reads when the machine lacks something that `make` needs."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_VENV = """#!/bin/sh
case "$*" in *ensurepip*) exit 1 ;; esac
exec {python} "$@"
"""


def setup_in(folder: Path, **programs: str) -> "subprocess.CompletedProcess[str]":
    """Run the set-up of a bare checkout with nothing but `programs` and the shell's own tools on the PATH."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "cmp", "cp"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    for name, text in programs.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", folder / "scripts")
    shutil.copy(ROOT / "requirements.lock", folder)
    sh = str(tools / "sh")
    return subprocess.run(
        [sh, "scripts/setup.sh"], cwd=folder, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )


def test_without_venv_the_exact_line_to_install_it_is_printed(tmp_path: Path) -> None:
    done = setup_in(tmp_path, python3=WITHOUT_VENV.format(python=sys.executable))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert done.returncode != 0
    assert f"sudo apt-get install python{version}-venv" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_without_a_python_that_is_new_enough_it_says_which_is_needed(tmp_path: Path) -> None:
    done = setup_in(tmp_path, python3="#!/bin/sh\nexit 1\n")
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stderr
