"""A disk fills up, one at a time: what is said, what goes on meanwhile, and that it heals by itself once there is room."""

import os
import random
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.polling import until
from tests.resources.disk import disk
from tests.resources.shelf import Shelf, csv, shelf
from topline.embedded.account import server_account

QUICK = {"TOPLINE_ENGINE__PUBLISH_INTERVAL_MS": "20"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own, which other users cannot enter."""
    with tempfile.TemporaryDirectory(prefix="topline-disk-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def noise(count: int, name: str = "n", city: str = "Roma") -> bytes:
    """Rows that do not pack well: 120 bytes each."""
    made = random.Random(count)
    return csv(*((f"{name}{number}", city, made.randbytes(50).hex()) for number in range(count)))


def troubles(one: Shelf) -> str:
    return str(one.project.json("status")["summary"].get("disk", ""))


def test_a_full_disk_under_the_log_ends_the_run_with_what_to_do_and_nothing_is_lost(folder: Path, postgres: Postgres) -> None:
    with disk(folder / "shelf" / "state", 24) as small, shelf(folder / "shelf", postgres.dsn("full"), **QUICK) as one:
        one.drop("first.csv", noise(100))
        one.start()
        one.await_published(Roma=100)
        small.fill(leave=200_000)
        one.drop("second.csv", noise(8_000, "m", "Bari"))
        assert one.ended() == 1
        assert f"cannot write the log {one.state / 'log.sqlite'}" in one.output()
        assert "Make room on that disk" in one.output()
        assert "Traceback" not in one.output()
        small.make_room()
        one.start()
        one.await_published(Roma=100, Bari=8_000)
        one.stop()
        assert all(table["equal"] for table in one.project.json("audit"))


def test_a_full_disk_refuses_pushed_rows_and_checkpoints_and_the_engine_goes_on(folder: Path, postgres: Postgres) -> None:
    settings = {**QUICK, "TOPLINE_ENGINE__CHECKPOINT_SHARE": "0.5"}
    with disk(folder / "shelf" / "state", 24) as small, shelf(folder / "shelf", postgres.dsn("full"), **settings) as one:
        one.drop("first.csv", noise(20_000))
        one.start()
        assert one.send({"id": "w0", "city": "Roma"}).status_code == 202
        one.await_published(Roma=20_001)
        until(lambda: [*one.state.glob("checkpoint.*[0-9]")], timeout=60, what="a checkpoint is saved")
        small.fill(leave=300_000)
        one.drop("second.csv", csv(("s1", "Bari", "")))
        one.await_published(Roma=20_001, Bari=1)
        until(lambda: "cannot write the checkpoint" in troubles(one), timeout=60, every=0.3)
        small.fill()
        refused = one.send(*({"id": f"w{n}", "city": "Roma", "note": "x" * 500} for n in range(1, 200)))
        assert refused.status_code == 503
        assert "make room on that disk" in refused.json()["detail"]
        small.make_room()
        assert one.send({"id": "w1", "city": "Lucca"}).status_code == 202
        one.await_published(Roma=20_001, Bari=1, Lucca=1)
        until(lambda: not troubles(one), timeout=60, every=0.3, what="the checkpoint is saved again")
        one.stop()


@pytest.mark.long
def test_a_log_that_cannot_be_folded_grows_and_is_folded_once_there_is_room(folder: Path, postgres: Postgres) -> None:
    settings = {**QUICK, "TOPLINE_ENGINE__COMPACT_AFTER_ROWS": "1000"}
    segments = folder / "shelf" / "state" / "segments"
    with disk(segments, 0.5) as small, shelf(folder / "shelf", postgres.dsn("full"), **settings) as one:
        one.drop("first.csv", noise(20_000))
        one.start()
        one.await_published(Roma=20_000)
        until(lambda: f"cannot fold the log into {segments}" in troubles(one), timeout=60, every=0.3)
        assert list(segments.iterdir()) == []
        one.drop("second.csv", csv(("s1", "Bari", "")))
        one.await_published(Roma=20_000, Bari=1)
        small.grow(20)
        until(lambda: list(segments.iterdir()) and not troubles(one), timeout=60, every=0.3, what="the log is folded")
        one.stop()
        assert one.rows("branch.stock") == 20_001


@pytest.mark.long
def test_a_letter_that_finds_no_room_waits_and_holds_up_no_other_file(folder: Path, postgres: Postgres) -> None:
    long = b"l1,Roma," + random.Random(1).randbytes(400_000).hex().encode() + b"\n"
    with (
        disk(folder / "shelf" / "state" / "spill", 0.5) as small,
        shelf(folder / "shelf", postgres.dsn("full"), **QUICK) as one,
    ):
        one.drop("a.csv", csv(("a1", "Roma", "")) + long + b"a2,Roma,\n")
        one.drop("b.csv", csv(("b1", "Bari", "")))
        one.start()
        until(lambda: one.published().get("Bari") == 1, timeout=60, every=0.1)
        until(lambda: one.source("branch")["state"] == "down", timeout=60, every=0.2)
        assert f"cannot keep a dead letter in {small.folder}" in one.source("branch")["last_error"]
        assert [path for path in small.folder.iterdir() if path.stat().st_size > 100_000] == []
        small.grow(5)
        one.await_published(Roma=2, Bari=1)
        assert one.letters() == {"inbox/a.csv:3": long}
        one.stop()


@contextmanager
def ordinary(one: Shelf) -> Iterator[dict[str, object]]:
    """Options of a process: an ordinary user's, whose files may have 600,000 bytes. Root becomes one, where that one may run
    this Python; else it stays what it is: the limit holds for it too."""
    limits: dict[str, object] = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))}
    account = server_account(one.folder / "none")
    if account.other and account.reaches(Path(sys.executable).resolve()):
        for path in [one.folder, *one.folder.rglob("*")]:
            os.chown(path, account.uid, account.gid)
        limits |= account.popen
    yield limits


@pytest.mark.long
def test_an_ordinary_user_at_the_limit_of_a_files_size_is_told_which_file(folder: Path, postgres: Postgres) -> None:
    with shelf(folder / "shelf", postgres.dsn("limit"), **QUICK) as one:
        one.drop("first.csv", csv(("a1", "Roma", "")))
        with ordinary(one) as options:
            one.start(**options)
            one.await_published(Roma=1)
            refused = one.send(*({"id": f"w{n}", "city": "Roma", "note": os.urandom(300).hex()} for n in range(2000)))
            assert refused.status_code == 503
            assert "make room" in refused.json()["detail"]
            one.drop("second.csv", noise(10_000, "m", "Bari"))
            assert one.ended() == 1
        assert f"cannot write the log {one.state / 'log.sqlite'}" in one.output()
        assert "lift the limit on file sizes" in one.output()
        one.start()
        one.await_published(Roma=1, Bari=10_000)
        one.stop()
