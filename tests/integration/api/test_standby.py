"""A real read replica: a hot standby that streams from the results database."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import Postgres, scratch
from tests.integration.api.conftest import DAY, Results, first_epoch
from tests.integration.api.test_replicas import NOWHERE
from tests.integration.results.support import NOON, SCHEMA, query
from tests.polling import until
from topline.results import Epoch, Reader
from topline.results.questions import Days, top_cities


@contextmanager
def standby_of(postgres: Postgres, dsn: str) -> Iterator[str]:
    """The DSN of a copy of the session's server, by pg_basebackup, as the account that the server runs as."""
    owner = next(path for path in postgres.server.place.rglob("postmaster.pid")).stat()
    binaries = Path(f"/proc/{postgres.server.pid()}/exe").resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="topline-standby-", dir=scratch()))
    os.chown(folder, owner.st_uid, owner.st_gid)
    given = conninfo_to_dict(dsn)
    data, port = folder / "data", free_port()

    def run(program: str, *arguments: object) -> None:
        command = [str(binaries / program), *map(str, arguments)]
        subprocess.run(command, user=owner.st_uid, group=owner.st_gid, cwd="/", check=True, capture_output=True)

    server = make_conninfo("", **{name: value for name, value in given.items() if name != "dbname"})
    try:
        run("pg_basebackup", "-d", server, "-D", data, "-R", "-c", "fast")
        options = " ".join([f"-p {port} -k ''", *(f"-c {name}={value}" for name, value in query(dsn, _AS_PRIMARY))])
        run("pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        yield make_conninfo("", **{**given, "port": str(port)})
    finally:
        if (data / "postmaster.pid").exists():
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# A standby needs as much of these as its primary has.
_AS_PRIMARY = """
SELECT name, setting FROM pg_settings
WHERE name IN ('max_connections', 'max_wal_senders', 'max_worker_processes', 'max_locks_per_transaction')
"""


@pytest.mark.skipif(not Path("/proc/self/exe").exists(), reason="finds the server's programs by /proc")
def test_a_standby_answers_and_epochs_never_go_back(postgres: Postgres) -> None:
    results = Results(postgres.dsn("standby"))
    results.publisher.publish(first_epoch())
    question = top_cities(Days.one(DAY))
    with closing(results), standby_of(postgres, results.dsn) as replica:
        with closing(Reader(results.dsn, SCHEMA, replicas=[replica], connections=2).open()) as reader:
            seen = []
            for number in range(8, 30):
                results.publisher.publish(Epoch(number, {}, {"shop": NOON, "branches": NOON}))
                seen += [reader.page(question, 3).as_of.epoch for _ in range(3)]
            assert seen == sorted(seen)
        with closing(Reader(NOWHERE, SCHEMA, replicas=[replica], connections=2).open()) as alone:
            until(lambda: alone.page(question, 3).as_of.epoch == 29, what="the standby has come as far")
            assert alone.page(question, 3).rows[0]["city"] == "Roma"
