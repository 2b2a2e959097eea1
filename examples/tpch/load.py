"""Makes TPC-H's tables in the project's source database, and fills them with the rows of `tpchgen-cli`."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from topline.config import load_project
from topline.errors import WorkError
from topline.live.start import databases

PROJECT = Path(__file__).parent
TABLES = ("region", "nation", "customer", "orders", "lineitem")
SCHEMA = """
CREATE TABLE region (r_regionkey integer PRIMARY KEY, r_name char(25) NOT NULL, r_comment varchar(152));
CREATE TABLE nation (n_nationkey integer PRIMARY KEY, n_name char(25) NOT NULL, n_regionkey integer NOT NULL,
    n_comment varchar(152));
CREATE TABLE customer (c_custkey integer PRIMARY KEY, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL,
    c_nationkey integer NOT NULL, c_phone char(15) NOT NULL, c_acctbal decimal(15,2) NOT NULL, c_mktsegment char(10) NOT NULL,
    c_comment varchar(117) NOT NULL);
CREATE TABLE orders (o_orderkey bigint PRIMARY KEY, o_custkey integer NOT NULL, o_orderstatus char(1) NOT NULL,
    o_totalprice decimal(15,2) NOT NULL, o_orderdate date NOT NULL, o_orderpriority char(15) NOT NULL,
    o_clerk char(15) NOT NULL, o_shippriority integer NOT NULL, o_comment varchar(79) NOT NULL);
CREATE TABLE lineitem (l_orderkey bigint, l_partkey integer NOT NULL, l_suppkey integer NOT NULL, l_linenumber integer,
    l_quantity decimal(15,2) NOT NULL, l_extendedprice decimal(15,2) NOT NULL, l_discount decimal(15,2) NOT NULL,
    l_tax decimal(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL,
    l_commitdate date NOT NULL, l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL,
    l_comment varchar(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber));
"""
"""As in TPC Benchmark H, clause 1.4.1, with its primary keys and without its foreign keys (1.4.2 leaves both open)."""


@contextmanager
def source(folder: Path = PROJECT) -> Iterator[str]:
    """The DSN of the source `tpch` in topline.yml; an embedded database runs while someone is inside."""
    project = load_project(folder)
    with databases(project) as real:
        yield real(str(project.config.sources["tpch"]["dsn"]))


def load(dsn: str, scale: float) -> dict[str, int]:
    """Make the tables and fill them at the scale factor `scale`: rows of each. WorkError: they are there already.

    The rows lie in temporary files meanwhile, some 900 MB at scale factor 1.
    """
    with psycopg.connect(dsn) as connection, tempfile.TemporaryDirectory() as folder:
        try:
            connection.execute(SCHEMA.encode())
        except psycopg.errors.DuplicateTable as error:
            raise WorkError(f"{error.diag.message_primary}: drop TPC-H's tables first, or name another database") from None
        _generate(Path(folder), scale)
        return {table: _fill(connection, table, Path(folder) / f"{table}.csv") for table in TABLES}


def _generate(folder: Path, scale: float) -> None:
    tables = ",".join(TABLES)
    command = [generator(), "csv", "--scale-factor", str(scale), "--tables", tables, "--output-dir", str(folder), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")


def _fill(connection: psycopg.Connection, table: str, file: Path) -> int:
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT csv, HEADER match)").format(sql.Identifier(table))
    with connection.cursor() as cursor, file.open("rb") as rows:
        with cursor.copy(statement) as copy:
            while chunk := rows.read(1 << 20):
                copy.write(chunk)
        return cursor.rowcount


def generator() -> str:
    """The path of `tpchgen-cli`: beside this Python, or on the PATH."""
    found = shutil.which("tpchgen-cli", path=str(Path(sys.executable).parent)) or shutil.which("tpchgen-cli")
    if found is None:
        raise WorkError("tpchgen-cli is not installed: pip install tpchgen-cli")
    return found
