"""Projects to measure with, in temporary folders: the shipped one, and the two rankings over one flat table."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

from bench.meter import FailedError, Spent, run
from topline.embedded import EmbeddedPostgres

TOPLINE = (sys.executable, "-m", "topline.cli.main")
SHIPPED = Path(__file__).parents[1] / "sales"
_NOT_COPIED = shutil.ignore_patterns(".topline", ".env", "__pycache__")
RANGE_TABLES = ("salesman_daily", "salesman_city_daily")


@dataclass(frozen=True)
class Project:
    folder: Path
    server: EmbeddedPostgres
    env: dict[str, str] = field(default_factory=lambda: {"TOPLINE_API__PORT": "0", "NO_COLOR": "1"})

    @property
    def inbox(self) -> Path:
        return self.folder / "inbox"

    @property
    def results(self) -> str:
        return self.server.dsn("topline")

    def topline(self, *arguments: str, timeout: float = 7200) -> Spent:
        """Run a command; PostgreSQL's CPU-seconds meanwhile stand under `postgres`."""
        pid = self.server.pid()
        assert pid is not None  # it runs as long as the project is open
        return run([*TOPLINE, *arguments], self.folder, env=self.env, beside={"postgres": pid}, timeout=timeout)

    def run(self) -> Spent:
        return self.topline("run", "--until-idle", "--json")


@contextmanager
def opened(folder: Path) -> Iterator[Project]:
    """The project in `folder`, its PostgreSQL running."""
    with EmbeddedPostgres(folder / ".topline") as server:
        yield Project(folder, server)
    shutil.rmtree(server.place, ignore_errors=True)  # as root it lies in /var/tmp


@contextmanager
def shipped(source: Mapping[str, Any] | None = None) -> Iterator[Project]:
    """The shipped project whole, its shop's tables and its partner's book empty. `source`: see `flat`."""
    with _copied() as folder:
        _configure(folder, source, keep=("branches", "shop", "partner"))
        with opened(folder) as project:
            _make_shop(project)
            yield project


@contextmanager
def flat(source: Mapping[str, Any] | None = None) -> Iterator[Project]:
    """The shipped staging, rules and rankings over `branches.sales` alone; the range tables are kept, not published.

    `source`: settings of the source `branches`, in place of the shipped ones.
    """
    with flat_folder(source) as folder, opened(folder) as project:
        yield project


@contextmanager
def flat_folder(source: Mapping[str, Any] | None = None) -> Iterator[Path]:
    """The folder of `flat`, without a database."""
    with _copied() as folder:
        _configure(folder, source, keep=("branches",))
        _narrow(folder, "branches")
        yield folder


@contextmanager
def shop() -> Iterator[Project]:
    """The same over the shop's four tables alone, which are empty."""
    with _copied() as folder:
        _configure(folder, None, keep=("shop",))
        _narrow(folder, "shop")
        with opened(folder) as project:
            _make_shop(project)
            yield project


@contextmanager
def _copied() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)  # the server's user must reach it when we are root
        folder = Path(name) / "sales"
        shutil.copytree(SHIPPED, folder, ignore=_NOT_COPIED)
        (folder / "inbox").mkdir()
        yield folder


def _configure(folder: Path, source: Mapping[str, Any] | None, keep: tuple[str, ...]) -> None:
    settings = yaml.safe_load((folder / "topline.yml").read_text())
    sources = settings["sources"]
    settings["sources"] = {name: sources[name] for name in keep}
    if source is not None:
        settings["sources"]["branches"] = dict(source)
    (folder / "topline.yml").write_text(yaml.safe_dump(settings))


@dataclass(frozen=True)
class Engine:
    """A running `topline run`, and the address of its API."""

    process: "subprocess.Popen[bytes]"
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid


@contextmanager
def running(project: Project) -> Iterator[Engine]:
    """An engine that goes on until the end. FailedError where it does not start within ten minutes."""
    place = project.folder / ".topline" / "engine.json"
    place.unlink(missing_ok=True)
    env, nowhere = {**os.environ, **project.env}, subprocess.DEVNULL
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen([*TOPLINE, "run"], cwd=project.folder, env=env, stdout=nowhere, stderr=errors) as process,
    ):
        try:
            yield Engine(process, _address(process, place, errors))
        finally:
            process.terminate()


def _address(process: "subprocess.Popen[bytes]", place: Path, errors: IO[str]) -> str:
    end = time.monotonic() + 600
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(place.read_text())["api"])
        time.sleep(0.01)
    errors.seek(0)
    raise FailedError(f"the engine did not start; it ended with {process.poll()}\n{errors.read()[-2000:]}")


def files(suffix: str) -> dict[str, Any]:
    """Settings of a source of files that are withdrawn when their sales are."""
    return {"kind": "files", "settle": 0, "tables": {"sales": {"path": "inbox", "format": suffix, "on_remove": "retract"}}}


def capture() -> dict[str, Any]:
    """Settings of a source that captures public.sales of the database `branches`."""
    return {"kind": "postgres", "dsn": "embedded:branches", "tables": {"sales": "public.sales"}}


def _narrow(folder: Path, source: str) -> None:
    """Leave out what is of other sources, and publish the rankings only."""
    live = folder / "models" / "live"
    others = tuple(f"{name}_sales" for name in ("shop", "branches", "partner") if name != source)
    for name in others:
        (live / "staging" / f"{name}.sql").unlink()
    for name in ("sales", "rejected_sales"):
        parts = (live / f"{name}.sql").read_text().split("union all\n")
        (live / f"{name}.sql").write_text(next(part for part in parts if f"{source}_sales" in part))
    _edit(live / "staging" / "staging.yml", drop=others)
    _edit(live / "sales.yml")
    _edit(live / "marts" / "marts.yml", unpublished=RANGE_TABLES)
    declared = yaml.safe_load((live / "sources.yml").read_text())
    declared["sources"] = [one for one in declared["sources"] if one["name"] == source]
    (live / "sources.yml").write_text(yaml.safe_dump(declared))


def _edit(path: Path, drop: tuple[str, ...] = (), unpublished: tuple[str, ...] = ()) -> None:
    """Without models, without unit tests (which name the other sources), and some models not published."""
    document = yaml.safe_load(path.read_text())
    document.pop("unit_tests", None)
    document["models"] = [model for model in document["models"] if model["name"] not in drop]
    for model in document["models"]:
        if model["name"] in unpublished:
            model["config"]["meta"]["publish"] = False
    path.write_text(yaml.safe_dump(document))


def _make_shop(project: Project) -> None:
    from topline.generate import Generator, Options

    dsn = project.server.dsn
    options = Options(shop_dsn=dsn("shop"), folder=project.folder / "none", ledger_dsn=dsn("ledger"), history=0)
    generator = Generator(options)
    generator.prepare()
    generator.stop()
