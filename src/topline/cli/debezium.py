"""Makes, shows and removes Debezium's connectors."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from topline.cli.opening import open_project
from topline.cli.output import out, print_json, print_table
from topline.errors import TransientError, UsageError, WorkError
from topline.ingest.debezium.connector import Connector, connectors
from topline.ingest.signals import signal_snapshot
from topline.ingest.standing import FAILED, Cluster, Standing
from topline.kafka.topics import Difference
from topline.live.start import databases, load_plan

_PATIENCE = 60.0  # seconds until a connector runs
_LOOKS, _REST = 4, 0.5  # looks at one that runs; seconds between two looks


def apply_connectors(folder: Path, source: str | None, *, as_json: bool) -> None:
    """WorkError where one does not run within a minute: why."""
    with _opened(folder, source) as (wanted, cluster):
        for connector in wanted:
            cluster.ensure_topics(connector)
            cluster.connect.put(connector.name, connector.config)
            cluster.connect.restart(connector.name)
        found = [_awaited(connector, cluster) for connector in wanted]
    _show(found, as_json=as_json)


def show_connectors(folder: Path, source: str | None, *, as_json: bool) -> None:
    with _opened(folder, source) as (wanted, cluster):
        found = [cluster.standing(connector) for connector in wanted]
    _show(found, as_json=as_json)
    if not all(one.as_told for one in found):
        raise WorkError(
            "not all stands as topline.yml says: `topline debezium apply` brings connectors there, and makes topics; a topic's "
            "settings are for kafka-configs.sh"
        )


def signal_connector(folder: Path, source: str, tables: list[str], *, as_json: bool) -> None:
    """UsageError for a table that the source does not have, WorkError where its connector does not run."""
    with _opened(folder, source) as ([connector], cluster):
        signal_snapshot(cluster, connector, tables)
    if as_json:
        print_json({"source": source, "tables": tables, "connector": connector.name})
        return
    out.print(f"{connector.name} reads {', '.join(tables)} again, beside the changes that go on", markup=False)


def remove_connectors(folder: Path, source: str | None, *, forget: bool, as_json: bool) -> None:
    with _opened(folder, source) as (wanted, cluster):
        connect = cluster.connect
        for connector in wanted:
            if forget and connect.config(connector.name) is not None:
                connect.stop(connector.name)
                _patiently(connect.forget, connector.name)
            connect.remove(connector.name)
    left = [{"source": connector.source, "leaves": connector.leaves} for connector in wanted]
    if as_json:
        print_json(left)
        return
    for one in left:
        out.print(f"{one['source']}: removed. {one['leaves']}", markup=False)


@contextmanager
def _opened(folder: Path, source: str | None) -> Iterator[tuple[list[Connector], Cluster]]:
    """UsageError where no such source travels through Debezium."""
    project = open_project(folder)
    with databases(project) as real:
        wanted = connectors(project, load_plan(project).tables, real.embedded)
        chosen = [one for one in wanted if source in (None, one.source)]
        if not chosen:
            known = ", ".join(one.source for one in wanted) or "none"
            asked = f"source {source}" if source else "source"
            raise UsageError(f"no {asked} travels through Debezium (`from: kafka`, `via: debezium`); those that do: {known}")
        with closing(Cluster(project)) as cluster:
            yield chosen, cluster


def _awaited(connector: Connector, cluster: Cluster) -> Standing:
    """Once it was seen to run, and again after a while: a task says that it runs before it has looked at its database."""
    deadline, seen = time.monotonic() + _PATIENCE, 0
    while True:
        found = cluster.standing(connector)
        seen = 0 if found.troubles else seen + 1
        if seen > _LOOKS:
            return found
        failed = [one for one in found.states if one.state == FAILED]
        if failed or time.monotonic() > deadline:
            reason = failed[0].reason if failed else f"it does not run within {_PATIENCE:.0f} s"
            raise WorkError(f"{connector.name}: {reason}")
        time.sleep(_REST)


def _patiently(work: Callable[[str], None], name: str) -> None:
    """Again and again while Connect is not ready for it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            work(name)
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_REST)
        else:
            return


def _show(found: list[Standing], *, as_json: bool) -> None:
    if as_json:
        print_json([_fields(one) for one in found])
        return
    rows = [(one.connector.source, one.connector.name, "; ".join(one.troubles) or "running") for one in found]
    print_table("", ("source", "connector", "state"), rows)
    for one in found:
        for name, (wanted, is_) in one.drift.items():
            out.print(f"{one.connector.name}: {name} is {is_!r}, topline.yml says {wanted!r}", markup=False)
        for topic, found_ in one.topics.items():
            for name, (wanted, is_) in (found_ or {}).items():
                out.print(f"topic {topic}: {name} is {is_!r}, topline.yml says {wanted!r}", markup=False)


def _fields(one: Standing) -> dict[str, Any]:
    return {
        "source": one.connector.source,
        "connector": one.connector.name,
        "running": not one.troubles,
        "troubles": one.troubles,
        "drift": _differing(one.drift),
        "topics": {name: None if found is None else _differing(found) for name, found in one.topics.items()},
    }


def _differing(found: Mapping[str, Difference]) -> dict[str, dict[str, str | None]]:
    return {name: {"wanted": wanted, "found": is_} for name, (wanted, is_) in found.items()}
