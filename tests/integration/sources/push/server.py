"""An API over one push source, in a process of its own: `python -m tests.integration.sources.push.server STATE [LIMIT]`.

Prints its address. LIMIT: bytes that any file may grow to, as on a full disk.
"""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from tests.integration.sources.push.reading import push_source
from topline.api import create_app, serve
from topline.faults import VARIABLE
from topline.results import Reader

ROOT = Path(__file__).parents[4]


@contextlib.contextmanager
def server(state: Path, *, kill_at: str = "", limit: int = 0) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process and its address. `kill_at`: a point at which it dies, as by kill -9."""
    command = [sys.executable, "-m", "tests.integration.sources.push.server", str(state), *([str(limit)] if limit else [])]
    environment = {**os.environ, **({VARIABLE: kill_at} if kill_at else {})}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def main() -> None:
    if len(sys.argv) > 2:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    intakes = push_source(Path(sys.argv[1])).intakes
    app = create_app(Reader("host=127.0.0.1 port=1 dbname=none", "none"), ZoneInfo("UTC"), intakes=intakes)
    with serve(app, "127.0.0.1", 0) as running:
        print(running.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
