"""The wheel alone, in an empty environment: `topline init` and `topline run` work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = (sys.executable, "-m", "uv")


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=280, check=False, env=env)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def topline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command of a wheel that was just built, installed with the locked versions and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    python = folder / "env" / "bin" / "python"
    run(*UV, "venv", "--quiet", "--python", sys.executable, folder / "env", cwd=folder)
    run(
        *UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "-c",
        _versions(folder),
        wheel,
        cwd=folder,
        env=dict(os.environ, UV_SYSTEM_CERTS="true"),
    )
    return folder / "env" / "bin" / "topline"


def _versions(folder: Path) -> Path:
    """requirements.lock without hashes, as constraints; a marker (`; python_full_version < '3.12'`) stays."""
    path = folder / "versions.txt"
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    path.write_text("\n".join(line.rstrip(" \\") for line in lines if "==" in line and not line.startswith(" ")) + "\n")
    return path


def test_the_wheel_alone_makes_and_runs_a_project(topline: Path, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TOPLINE_API__PORT": "0"}
    project = tmp_path / "mine"
    run(topline, "init", project, cwd=tmp_path, env=env)
    assert ".topline/" in (project / ".gitignore").read_text().split()
    run(topline, "generate", "--count", "200", cwd=project, env=env)
    assert "no faults" in run(topline, "check", cwd=project, env=env)
    run(topline, "run", "--until-idle", cwd=project, env=env)
    assert "equal" in run(topline, "audit", cwd=project, env=env)
