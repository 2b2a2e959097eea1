"""Serves the API without an engine."""

import signal
from pathlib import Path

from topline.api import create_app, serve
from topline.cli.opening import open_project
from topline.cli.output import err, out, print_json
from topline.cli.running import Stop
from topline.live.start import databases
from topline.results import Reader


def serve_api(folder: Path, overrides: list[str] | None, *, as_json: bool) -> int:
    """Until a signal; the exit code is 130 after Ctrl-C. With `as_json` the address is one JSON document."""
    project = open_project(folder, overrides)
    with Stop().on_signals() as stop, databases(project) as real:
        reader = Reader(real(project.config.results.dsn), project.config.results.schema_).open()
        with serve(create_app(reader, project.zone), project.config.api.host, project.config.api.port) as server:
            if as_json:
                print_json({"url": server.url})
                out.file.flush()
            else:
                err.print(f"serving {server.url} until stopped", markup=False)
            while not stop.wait(1.0):
                pass
        reader.close()
    return 130 if stop.signal == signal.SIGINT else 0
