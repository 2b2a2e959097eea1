"""Other engines on the same events in the same run, each in an environment of its own, each checked for the right totals.

They keep what the two rankings are made of, in memory: nothing is read from files, made durable or published, and the best
hundred are not picked. Beside them stands our fold alone, with its staging and all of both rankings; the whole way is `whole`.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import parquet as pq

from bench.bare import batch, loaded, plan
from bench.engines.common import BATCH
from bench.engines.common import measured as timed
from bench.environments import MissingError, python
from bench.events import Kind, Stream, make, rankings, table
from bench.events.truth import ZONE, differences
from bench.figures import Figure
from bench.meter import FailedError
from bench.meter import run as measured
from bench.project import flat_folder
from topline.live.dataflow import Dataflow

SIZES = {"small": (50_000, 50_000, 2), "full": (500_000, 500_000, 3)}
"""Sales of the first load, events, and how often each engine folds them."""
ROOT = Path(__file__).parents[1]
_ARROW = f"pyarrow=={pa.__version__}"
_TYPED = f"""
SELECT sale_id, CAST(CAST(sold_at AT TIME ZONE '{ZONE}' AS DATE) AS TEXT) AS date, country, region, city, salesman_id,
    salesman_name, CAST(amount * 100 AS BIGINT) AS cents, deleted
FROM rows
"""
_CITIES = """
SELECT CAST(date AS TEXT) AS date, country, region, city, CAST(total_sales * 100 AS BIGINT) AS total,
    transaction_count AS sales, CAST(max_sale * 100 AS BIGINT) AS greatest FROM truth
"""
_MEN = """
SELECT CAST(date AS TEXT) AS date, salesman_id, salesman_name, CAST(total_sales * 100 AS BIGINT) AS total,
    deals_closed AS sales, cities_covered AS cities FROM truth
"""
_BEST = "SELECT * FROM found QUALIFY row_number() OVER (PARTITION BY date ORDER BY total DESC, salesman_id) <= 100"


@dataclass(frozen=True)
class Engine:
    """`script` in bench/engines; `packages` of its environment."""

    name: str
    script: str
    packages: tuple[str, ...]
    leaves_out: str


ENGINES = (
    Engine("DuckDB from scratch", "duckdb_scratch", ("duckdb==2.0.0", _ARROW), "all is computed anew after each batch"),
    Engine("polars from scratch", "polars_scratch", ("polars==2.1.0", _ARROW), "all is computed anew after each batch"),
    Engine("Pathway", "pathway_live", ("pathway==0.33.0", "pyarrow"), "incremental, its persistence off"),
    Engine(
        "Bytewax", "bytewax_live", ("bytewax==0.21.1", _ARROW), "incremental, its recovery off; the fold is ours, in Python"
    ),
    Engine("Quix Streams", "quix_live", ("quixstreams==3.28.1", _ARROW), "without the greatest sale; no changelog"),
    Engine("plain dictionaries", "plain_python", (_ARROW,), "incremental, no engine at all; the same fold in Python"),
)


def run(scale: str) -> Iterator[Figure]:
    load, events, times = SIZES[scale]
    stream = make(load, events)
    truth = rankings(stream)
    yield _ours(stream, times)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        count = write(stream, folder)
        for engine in ENGINES:
            try:
                yield _theirs(engine, folder, truth, count, times)
            except MissingError as error:
                print(f"   {engine.name} does not install here: {error}", file=sys.stderr)
            except FailedError as error:
                print(f"   {engine.name} failed: {error}", file=sys.stderr)


def write(stream: Stream, folder: Path) -> int:
    """The sound events as Parquet with typed columns: how many there are."""
    first = stream.first(0, stream.load)
    sound = stream.kind != Kind.BROKEN
    events = table(stream.fields(stream.sale[sound], stream.version[sound]))
    deleted = pa.array((stream.kind == Kind.DELETE)[sound])
    _typed(table(first), pa.array([False] * stream.load), folder / "load.parquet")
    _typed(events, deleted, folder / "events.parquet")
    return int(sound.sum())


def _typed(rows: pa.Table, deleted: pa.Array, path: Path) -> None:
    with duckdb.connect() as database:
        database.register("rows", rows.append_column("deleted", deleted))
        pq.write_table(database.sql(_TYPED).to_arrow_table(), path)


def _theirs(engine: Engine, folder: Path, truth: dict[str, pa.Table], events: int, times: int) -> Figure:
    command = [python(engine.script, *engine.packages), str(ROOT / "bench" / "engines" / f"{engine.script}.py"), str(folder)]
    spent = []
    for _ in range(times):
        output = measured(command, folder, env={"PYTHONPATH": str(ROOT), "PATHWAY_THREADS": "2"}, timeout=1800).output
        spent.append(json.loads(output.strip().splitlines()[-1]))
        _require(engine.name, folder, truth)
    rates = [events / one["wall"] for one in spent]
    note = f"{engine.packages[0].replace('==', ' ')}, {engine.leaves_out}"
    return Figure(
        f"in memory only, {engine.name}", "events/s", rates, [one["cpu"] for one in spent], events, "events", note=note
    )


def _require(name: str, folder: Path, truth: dict[str, pa.Table]) -> None:
    """FailedError where the totals are others than the events give."""
    for file, query, of in (("cities", _CITIES, "top_sales_by_city"), ("men", _MEN, "top_salesmen")):
        with duckdb.connect() as database:
            database.register("truth", truth[of])
            expected = database.sql(query).to_arrow_table()
            database.register("found", pq.read_table(folder / f"{file}.parquet"))
            found = database.sql(_BEST if file == "men" else "FROM found").to_arrow_table()
            expected = expected.select(found.column_names)  # one leaves a column out
        if count := differences(expected, found):
            raise FailedError(f"{count} rows of {file} by {name} differ from what the events give")


def _ours(stream: Stream, times: int) -> Figure:
    spent = []
    for _ in range(times):
        with flat_folder() as folder:
            dataflow = Dataflow(plan(folder))
        for part in loaded(stream):
            dataflow.apply([part])
        parts = [batch(stream, begin, begin + BATCH) for begin in range(0, len(stream), BATCH)]
        spent.append(timed(lambda parts=parts, dataflow=dataflow: [dataflow.apply([part]) for part in parts]))  # type: ignore[misc]
        dataflow.close()
    rates = [len(stream) / wall for wall, _ in spent]
    note = f"batches of {BATCH:,}, with staging and its broken rows, averages and ranks"
    return Figure(
        "in memory only, Topline's fold", "events/s", rates, [cpu for _, cpu in spent], len(stream), "events", note=note
    )
