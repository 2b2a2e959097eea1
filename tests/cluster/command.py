"""`python -m tests.cluster.stack up|down|status`: the stack for development, which runs on when the command is done.

    up [--brokers 1|3] [--only kafka,connect] [--ports kafka=19092,registry=18081] [--folder DIR]
    status [--folder DIR]             what runs where; exit code 1 where something does not
    down [--folder DIR] [--delete]    ends what `up` started, and nothing else; --delete: and what they kept goes

Ports may stand in TOPLINE_STACK_PORTS, too. What a folder's stack was made with holds for its next `up`.
"""

import argparse
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster.parts import Part, Runs, parts_of
from tests.cluster.postgres import Postgres
from tests.cluster.process import Record, StackError, require_free
from tests.cluster.stack import JARS
from topline.errors import ToplineError

FOLDER = Path(__file__).parents[2] / "build" / "stack"
PORTS: Mapping[str, int] = {
    "postgres": 5433,
    "kafka": 9092,  # and the next: a client's and a controller's for each broker
    "registry": 8081,
    "connect": 8083,
    "flink": 8082,
    "flink-rpc": 6123,
    "flink-gateway": 8084,
}
_NEEDS = {"registry": "postgres", "connect": "kafka"}
_PARTS = ("postgres", "kafka", "registry", "connect", "flink")


@dataclass(frozen=True)
class Made:
    """What a folder's stack is made of."""

    brokers: int = 1
    only: list[str] = field(default_factory=lambda: list(_PARTS))
    ports: dict[str, int] = field(default_factory=lambda: dict(PORTS))

    @classmethod
    def load(cls, folder: Path) -> "Made | None":
        path = folder / "stack.json"
        return cls(**json.loads(path.read_text())) if path.exists() else None

    def store(self, folder: Path) -> None:
        (folder / "stack.json").write_text(json.dumps(asdict(self), indent=2))

    def parts(self, folder: Path) -> list[Part]:
        return parts_of(folder, self.brokers, self.ports, self.only)


def up(folder: Path, wanted: Made) -> None:
    """Starts what does not run. StackError, and nothing of it stays started, where one cannot."""
    _require_installed()
    _require_same(folder, wanted)
    parts = wanted.parts(folder)
    missing = [server for part in parts for server in part.servers if server.pid is None]
    for server in missing:
        for port in server.ports:
            require_free(port, server.name)
    wanted.store(folder)
    begun: list[Runs] = []
    try:
        for part in parts:
            _begin(part, begun)
    except BaseException:
        for server in reversed(begun):
            server.stop()
        raise


def down(folder: Path) -> list[str]:
    """Ends, by their ids, the servers that were started here; their names. None running is as well."""
    ended: list[str] = []
    for part in reversed(_PARTS[1:]):
        records = [Record(path) for path in sorted((folder / part).glob("*.pid"))]
        ended += [record.path.stem for record in records if record.terminate() is not None]
        for record in records:
            record.stop()
    database = Postgres(folder)
    ended += [database.name] if database.pid is not None else []
    database.stop()
    return ended


def status(folder: Path) -> list[tuple[str, str, str, str]]:
    """(server, ports, how it stands, its log) of each."""
    made = Made.load(folder)
    servers = [server for part in made.parts(folder) for server in part.servers] if made else []
    return [(one.name, ", ".join(map(str, one.ports)), _state(one), str(one.log)) for one in servers]


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parser().parse_args(arguments)
    folder = asked.folder.resolve()
    try:
        sys.exit({"up": _up, "down": _down, "status": _status}[asked.command](folder, asked))
    except (StackError, ToplineError) as error:
        sys.exit(f"stack: {error}")


def _begin(part: Part, begun: list[Runs]) -> None:
    """All servers of one kind, then until they are healthy: the next kind may need them."""
    missing = [server for server in part.servers if server.pid is None]
    if not missing:
        return
    print(f"starting {', '.join(server.name for server in missing)}", file=sys.stderr, flush=True)
    part.prepare()
    for server in missing:
        server.begin()
        begun.append(server)
    for server in missing:
        server.await_ready()


def _up(folder: Path, asked: argparse.Namespace) -> int:
    before = Made.load(folder) or Made()
    only = _with_needs([*asked.only.split(","), *_running(folder)]) if asked.only else before.only
    ports = before.ports | _ports(os.environ.get("TOPLINE_STACK_PORTS", "")) | _ports(asked.ports)
    made = Made(asked.brokers or before.brokers, only, ports)
    with _alone(folder):
        up(folder, made)
    _show(status(folder))
    for part in made.parts(folder):
        for line in part.says:
            print(line)
    print("\nFor topline.yml:\n" + _block(made))
    return 0


def _down(folder: Path, asked: argparse.Namespace) -> int:
    with _alone(folder):
        ended = down(folder)
        print(f"ended: {', '.join(ended)}" if ended else "nothing runs")
        if asked.delete:
            shutil.rmtree(Postgres(folder).log.parent, ignore_errors=True)  # which may lie elsewhere
            shutil.rmtree(folder)
    return 0


def _status(folder: Path, asked: argparse.Namespace) -> int:
    rows = status(folder)
    _show(rows)
    return 0 if rows and all(state.startswith("healthy") for _, _, state, _ in rows) else 1


def _running(folder: Path) -> list[str]:
    """The parts of which something runs."""
    made = Made.load(folder)
    return [part.name for part in made.parts(folder) if any(server.pid for server in part.servers)] if made else []


def _show(rows: Sequence[tuple[str, str, str, str]]) -> None:
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]))
    if not rows:
        print("no stack was started here")


def _state(server: Runs) -> str:
    if server.pid is None:
        return "does not run"
    return f"{'healthy' if server.healthy else 'not healthy'}, process {server.pid}"


def _block(made: Made) -> str:
    brokers = ", ".join(f"127.0.0.1:{made.ports['kafka'] + 2 * number}" for number in range(made.brokers))
    lines = ["kafka:", f"  brokers: [{brokers}]"]
    if "registry" in made.only:
        url = f"http://127.0.0.1:{made.ports['registry']}/apis/ccompat/v7"
        lines += ["  format: avro", f'  registry: {{url: "{url}"}}']
    else:
        lines += ["  format: json"]
    if "connect" in made.only:
        lines += [f'  connect: {{url: "http://127.0.0.1:{made.ports["connect"]}"}}']
    return "\n".join(lines)


def _require_installed() -> None:
    if not (JARS / "kafka").is_dir():
        raise StackError(f"the servers' jars are not in {JARS}; fetch them once: sh scripts/setup-cluster.sh")


def _require_same(folder: Path, wanted: Made) -> None:
    """What runs, runs on the ports that it has; what is stored, is stored by so many brokers."""
    before = Made.load(folder)
    if before is None or before == wanted:
        return
    if before.brokers != wanted.brokers and (folder / "kafka").exists():
        raise StackError(
            f"the cluster in {folder} has {before.brokers} broker(s), not {wanted.brokers}: delete it (down --delete), or take "
            "another --folder"
        )
    if before.ports != wanted.ports and any(server.pid for part in before.parts(folder) for server in part.servers):
        raise StackError(f"the stack in {folder} runs on other ports; end it first (make stack-down)")


def _with_needs(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in _PARTS:
            raise StackError(f"--only {name}: no such part; there are {', '.join(_PARTS)}")
    wanted = {*names, *(_NEEDS[name] for name in names if name in _NEEDS)}
    return [name for name in _PARTS if name in wanted]


def _ports(text: str) -> dict[str, int]:
    """`kafka=19092,connect=18083`"""
    found: dict[str, int] = {}
    for name, _, port in (item.strip().partition("=") for item in text.split(",") if item.strip()):
        if name not in PORTS or not (port.isdigit() and 0 < int(port) < 65536):
            raise StackError(f"ports: {name}={port}: write NAME=PORT,.. with names of {', '.join(PORTS)}")
        found[name] = int(port)
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One command at a time in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "command.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"another command works in {folder}; wait until it is done") from None
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.stack", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where data and logs lie")
    parser.add_argument("--brokers", type=int, choices=(1, 3), help="of Kafka")
    parser.add_argument("--only", default="", help=f"of {', '.join(_PARTS)}; with what they need")
    usual = ", ".join(f"{name}={port}" for name, port in PORTS.items())
    parser.add_argument("--ports", default="", help=f"NAME=PORT,..; the usual: {usual}")
    parser.add_argument("--delete", action="store_true", help="with `down`: delete the folder, too")
    return parser
