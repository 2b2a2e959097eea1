"""Runs the whole on this machine, with the proof at its end; and the generator, the demo's stream of sales, by itself."""

import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from topline.cli.auditing import print_audit, watched_audit
from topline.cli.making import copy_project
from topline.cli.opening import open_project
from topline.cli.output import err, out, print_json
from topline.cli.running import Session, Stop, session
from topline.cli.watching import final_rankings, rebuild_progress, watched
from topline.config import CONFIG_FILE, Project
from topline.embedded import EmbeddedPostgres
from topline.embedded.partner import book_of
from topline.errors import ConfigError, UsageError
from topline.generate import SOURCES, Generator, Options, Source, compare
from topline.generate.options import even_shares
from topline.live.asking import running_engine
from topline.live.start import EMBEDDED, databases

LEDGER = f"{EMBEDDED}ledger"
PATIENCE = 60.0  # seconds for which a source may not answer
PARTNER_EVERY = 1  # seconds from one look at the partner's service to the next, so that it looks as live as the others
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Stream:
    """What the generator shall do: steps a second, its seed, when it ends (seconds, or a number of sales), and each share."""

    rate: float
    seed: int
    seconds: float | None = None
    count: int | None = None
    shares: Mapping[Source, int] = field(default_factory=even_shares)

    @classmethod
    def of(cls, rate: float, seed: int, duration: str | None, count: int | None = None, shares: Sequence[str] = ()) -> "Stream":
        """`shares`: SOURCE=N each. UsageError for what is no time or no share."""
        return cls(rate, seed, None if duration is None else parse_duration(duration), count, parse_shares(shares))


def run_demo(stream: Stream, folder: Path, port: int) -> int:
    """The exit code: 0, 1 where a result is not equal to the truth, 128 + the number of a signal."""
    project = _fresh_project(folder, port)
    with Stop().on_signals() as stop, databases(project) as real:
        generator = _generator(project, real, stream)
        err.print("filling the shop, the inbox and the partner's book with a history of sales", markup=False)
        generator.prepare()
        equal = _run(project, generator, stop, real) if stream.seconds else _run_open_end(project, generator, stop)
    told = f"\nthe project stays in {folder}/ until the next demo: topline status --project {folder}"
    out.print(told, markup=False, soft_wrap=True)
    if stop.signal:
        return 128 + stop.signal
    return 0 if equal else 1


def _run_open_end(project: Project, generator: Generator, stop: Stop) -> bool:
    with _engine(project) as running:
        generator.start()
        try:
            with watched(running):
                running.run(stop)
        finally:
            generator.stop()
    return True


def _run(project: Project, generator: Generator, stop: Stop, real: Callable[[str], str]) -> bool:
    """Until the generator is done; then a second engine takes up where the first stood, to the very end, and is audited."""
    with _engine(project) as running:
        generator.start()
        with watched(running):
            running.run(lambda: stop() or not generator.running)
        generator.stop()
    if stop():
        return True
    with _engine(project) as running:
        running.run_until_idle(stop, PATIENCE)
        final_rankings(running)
        _print_kinds(generator)
        return _proven(project, running, real)


def _proven(project: Project, running: Session, real: Callable[[str], str]) -> bool:
    compared = watched_audit(project, running.started.plan)
    out.print("\naudit: PostgreSQL against the models' SQL, run from scratch over the log", markup=False)
    print_audit(compared)
    config = project.config
    differences = compare(real(LEDGER), running.started.results_dsn, config.results.schema_, config.time_zone)
    out.print("\nledger: PostgreSQL against the generator's own book, recomputed by PostgreSQL", markup=False)
    for model, found in differences.items():
        out.print(f"{model}: {'DIFFERS' if found else 'equal'}", markup=False)
        for line in found:
            out.print(f"  {line}", markup=False)
    return all(one.equal for one in compared) and not any(differences.values())


def _print_kinds(generator: Generator) -> None:
    for source, kinds in generator.kinds().items():
        shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        out.print(f"{source}: {shown}", markup=False)


@contextmanager
def _engine(project: Project) -> Iterator[Session]:
    with rebuild_progress() as on_rebuild, session(project, on_rebuild=on_rebuild) as running:
        on_rebuild.done()
        yield running


def _fresh_project(folder: Path, port: int) -> Project:
    """The shipped project, copied; the one of an earlier demo goes first (another folder is never touched)."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / ".demo").is_file():
            raise UsageError(f"{folder} exists and is not an earlier demo: name a new folder with --dir")
        _remove(folder)
    copy_project(folder)
    (folder / ".demo").write_text("Made by `topline demo`, which removes this folder at its next start.\n")
    return open_project(folder, [f"api.port={port}", f"sources.partner.every={PARTNER_EVERY}"])


def _remove(folder: Path) -> None:
    found = running_engine(folder / ".topline")
    if found is not None:
        raise UsageError(f"a demo runs in {folder} (process {found.pid}): stop it first, or name another folder with --dir")
    shutil.rmtree(EmbeddedPostgres(folder / ".topline").place, ignore_errors=True)  # it may lie elsewhere
    shutil.rmtree(folder)


def run_generator(project: Project, stream: Stream, *, as_json: bool) -> int:
    """Until the stream ends or a signal comes; the exit code is 130 after Ctrl-C."""
    with Stop().on_signals() as stop, databases(project) as real:
        generator = _generator(project, real, stream)
        generator.prepare()
        others = "the shop's database and the partner's book" if _partner(project) else "the shop's database"
        err.print(f"writing sales to {_inbox(project)}, {others}; Ctrl-C stops", markup=False, soft_wrap=True)
        generator.start()
        while generator.running and not stop.wait(0.1):
            pass
        generator.stop()
    if as_json:
        print_json({source: {str(kind): n for kind, n in kinds.items()} for source, kinds in generator.kinds().items()})
    else:
        _print_kinds(generator)
    return 130 if stop.signal == signal.SIGINT else 0


def _generator(project: Project, real: Callable[[str], str], stream: Stream) -> Generator:
    """UsageError where the stream's figures do not fit the project."""
    try:
        return Generator(_options(project, real, stream))
    except ValueError as error:
        raise UsageError(str(error)) from None


def _options(project: Project, real: Callable[[str], str], stream: Stream) -> Options:
    config = project.config
    return Options(
        shop_dsn=real(_shop(project)),
        folder=_inbox(project),
        ledger_dsn=real(LEDGER),
        partner=_partner(project),
        shares=stream.shares,
        seed=stream.seed,
        rate=stream.rate,
        count=stream.count,
        duration=stream.seconds,
        time_zone=config.time_zone,
        currency=config.currency,
    )


def _shop(project: Project) -> str:
    for settings in project.config.sources.values():
        if settings.get("kind") == "postgres":
            return str(settings.get("dsn", ""))
    raise ConfigError(f"{project.root / CONFIG_FILE}: the generator needs a source of kind postgres to write orders to")


def _inbox(project: Project) -> Path:
    for settings in project.config.sources.values():
        if settings.get("kind") == "files":
            tables: dict[str, dict[str, Any]] = settings.get("tables", {})
            path = next((table.get("path", "inbox") for table in tables.values()), "inbox")
            first = Path(path if isinstance(path, str) else path[0])
            return project.root / (first if not first.suffix else first.parent)
    raise ConfigError(f"{project.root / CONFIG_FILE}: the generator needs a source of kind files to drop branch files for")


def _partner(project: Project) -> Path | None:
    """The book of the partner's service that Topline plays; None where there is no such source: a real one has its own."""
    for settings in project.config.sources.values():
        wsdl = str(settings.get("wsdl", ""))
        if settings.get("kind") == "soap" and wsdl.startswith(EMBEDDED):
            return book_of(project.state_dir, wsdl.removeprefix(EMBEDDED))
    return None


def parse_shares(texts: Sequence[str]) -> dict[Source, int]:
    """From `shop=2`, `partner=0`, ...; a source that is not named has 1. UsageError otherwise."""
    shares = even_shares()
    for text in texts:
        match = re.fullmatch(r"(\w+)=(\d{1,3})", text.strip())
        named = [source for source in SOURCES if match and match[1] == source]
        if match is None or not named:
            raise UsageError(f"{text!r} is no share: write SOURCE=N with a whole number; the sources are {', '.join(SOURCES)}")
        shares[named[0]] = int(match[2])
    return shares


def parse_duration(text: str) -> float:
    """Seconds from `30s`, `5m`, `1h` or a number. UsageError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a time: write 30s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2]]
