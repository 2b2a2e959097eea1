"""Under a limit of memory a run ends with what is lacking, or it does its work; without the limit it goes on where it stood.

Where a native library asks for memory and does not look whether it got any, the process dies as by kill -9.
"""

import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.project import TOPLINE
from tests.resources.shelf import Shelf, csv, shelf
from topline.errors import TransientError, out_of_memory

ROWS = 20_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="topline-memory-", dir="/var/tmp") as made:
        yield Path(made)


def limited(one: Shelf, megabytes: int) -> "subprocess.CompletedProcess[str]":
    """A run that may have so much address space."""
    most = megabytes << 20
    return subprocess.run(
        [*TOPLINE, "run", "--until-idle", "--patience", "5"],
        cwd=one.folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("rebuilt", [False, True], ids=["first load", "rebuild"])
def test_a_run_within_a_limit_of_memory_works_or_says_what_is_lacking(folder: Path, postgres: Postgres, rebuilt: bool) -> None:
    with shelf(folder / "shelf", postgres.dsn("memory")) as one:
        one.drop("first.csv", csv(*((f"n{n}", f"City {n % 500}", "x" * 50) for n in range(ROWS))))
        if rebuilt:
            one.project.run("run", "--until-idle", timeout=600)
            for checkpoint in one.state.glob("checkpoint.*"):
                checkpoint.unlink()
        codes = []
        for megabytes in (1200, 2400):
            done = limited(one, megabytes)
            codes.append(done.returncode)
            assert done.returncode in (0, 1, -signal.SIGSEGV, -signal.SIGABRT), done.stderr
            assert done.returncode != 1 or "not enough memory" in done.stderr, done.stderr
            assert "Traceback" not in done.stderr
        assert any(codes), "no limit was too low to show anything"
        one.project.run("run", "--until-idle", timeout=600)
        assert sum(one.published().values()) == ROWS
        assert all(table["equal"] for table in one.project.json("audit"))


def _thread() -> None:
    raise RuntimeError("can't start new thread")


def _python() -> None:
    bytearray(1 << 62)


def _arrow() -> None:
    import pyarrow as pa

    pa.allocate_buffer(1 << 60)


def _duckdb() -> None:
    import duckdb

    duckdb.connect(config={"memory_limit": "5MB", "temp_directory": ""}).execute(
        "SELECT count(*) FROM (SELECT DISTINCT random()::text FROM range(1000000))"
    )


@pytest.mark.parametrize("lacks", [_thread, _python, _arrow, _duckdb])
def test_whoever_lacks_memory_it_is_told_in_one_way(lacks: Callable[[], None]) -> None:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each library has its own
        lacks()
    found = out_of_memory(raised.value)
    assert isinstance(found, TransientError)
    assert "there is not enough memory" in str(found)


@pytest.mark.parametrize("error", [RuntimeError("other"), ValueError("memory"), OSError(12, "x")])
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert out_of_memory(error) is None
