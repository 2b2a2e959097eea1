"""The disk under the results is full, or a disk does not take what it took before: the log goes on, and the results follow."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Postgres, discard
from tests.polling import until
from tests.resources.disk import disk
from tests.resources.shelf import Shelf, csv, shelf
from topline.embedded import EmbeddedPostgres

CITIES = 30_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="topline-disk-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_results_on_a_full_disk_catch_up_once_there_is_room(folder: Path) -> None:
    with disk(folder / "shelf" / "state" / "postgres", 200) as small, shelf(folder / "shelf", "embedded:topline") as one:
        one.drop("first.csv", csv(("a1", "Roma", "")))
        one.start()
        server = EmbeddedPostgres(one.state)
        try:
            password = (one.state / "postgres" / "password").read_text()
            one.results = f"postgresql://topline:{password}@127.0.0.1:{server.port}/topline"
            one.await_published(Roma=1)
            small.fill()
            one.drop("second.csv", csv(*((f"b{n}", f"{n:05}" * 40, "") for n in range(CITIES))))
            until(lambda: "No space left on device" in one.output(), timeout=120, every=0.3, what="it is said what is lacking")
            until(lambda: one.rows("branch.stock") == CITIES + 1, timeout=120, every=0.5, what="the log takes all")
            assert one.alive
            small.make_room()
            until(lambda: _results(one, server) == CITIES + 1, timeout=180, every=0.5, what="the results catch up")
            one.stop()
        finally:
            discard(server)


def _results(one: Shelf, server: EmbeddedPostgres) -> int:
    """The engine may have started it anew, on another port."""
    password = (one.state / "postgres" / "password").read_text()
    try:
        with psycopg.connect(f"postgresql://topline:{password}@127.0.0.1:{server.port}/topline", connect_timeout=2) as found:
            row = found.execute("SELECT count(*) FROM topline.stock_by_city").fetchone()
    except psycopg.Error:
        return 0
    return int(row[0]) if row else 0


SHIM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
static int broken(void) { const char *flag = getenv("BROKEN_DISK"); return flag && access(flag, F_OK) == 0; }
int fsync(int fd) { if (broken()) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (broken()) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }
"""


@pytest.mark.system
def test_a_disk_that_fails_to_sync_ends_the_run_and_nothing_is_lost(folder: Path, postgres: Postgres) -> None:
    """fsync gives EIO while a flag is there (a library that is loaded before libc)."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    flag = folder / "broken"
    with shelf(folder / "shelf", postgres.dsn("broken")) as one:
        one.drop("first.csv", csv(("a1", "Roma", "")))
        environment = {"LD_PRELOAD": str(folder / "shim.so"), "BROKEN_DISK": str(flag)}
        one.start(env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment})
        one.await_published(Roma=1)
        flag.touch()
        assert one.send({"id": "w1", "city": "Bari"}).status_code == 503
        one.drop("second.csv", csv(("b1", "Bari", "")))
        assert one.ended() == 1
        assert f"cannot write the log {one.state / 'log.sqlite'}: disk I/O error" in one.output()
        assert "Traceback" not in one.output()
        flag.unlink()
        one.start()
        one.await_published(Roma=1, Bari=1)
        one.stop()
