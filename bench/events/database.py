"""The first load and the events in a PostgreSQL table, as a system that keeps its sales there would write them."""

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from bench.events.content import COLUMNS
from bench.events.stream import Ints, Kind, Stream
from bench.events.write import ROWS, csv_lines, joined

_COLUMNS = ", ".join(f"{name} text" for name in COLUMNS)
_NAMES = ", ".join(COLUMNS)
_SET = ", ".join(f"{name} = e.{name}" for name in COLUMNS[1:])
_APPLY = f"""
DO $$
BEGIN
    FOR block IN 0 .. %(last)s LOOP
        INSERT INTO sales SELECT {_NAMES} FROM staged
        WHERE n / %(size)s = block AND kind IN ({Kind.NEW:d}, {Kind.LATE:d}, {Kind.BROKEN:d});
        UPDATE sales SET {_SET} FROM (
            SELECT DISTINCT ON (sale_id) * FROM staged
            WHERE n / %(size)s = block AND kind IN ({Kind.UPDATE:d}, {Kind.REDELIVERED:d}) ORDER BY sale_id, n DESC
        ) e WHERE sales.sale_id = e.sale_id;
        DELETE FROM sales USING staged e
        WHERE e.n / %(size)s = block AND e.kind = {Kind.DELETE:d} AND sales.sale_id = e.sale_id;
        COMMIT;
    END LOOP;
END $$
"""


def create(connection: psycopg.Connection, stream: Stream) -> None:
    """The table `sales` with the first load."""
    connection.execute(f"CREATE TABLE sales ({_COLUMNS}, PRIMARY KEY (sale_id))".encode())
    for begin in range(0, stream.load, ROWS):
        rows = stream.first(begin, begin + ROWS)
        _copy(connection, f"COPY sales ({_NAMES}) FROM STDIN (FORMAT csv)", csv_lines(rows, rows.sale < 0))
    connection.execute("VACUUM ANALYZE sales")


def apply(connection: psycopg.Connection, stream: Stream, events: Ints, size: int = 1000) -> int:
    """Make the events happen, in transactions of `size` events each: how many row changes they are.

    A sale that changes twice in a transaction changes once.
    """
    connection.execute(f"CREATE UNLOGGED TABLE staged (n bigint, kind smallint, {_COLUMNS})".encode())
    for begin in range(0, len(events), ROWS):
        chunk = events[begin : begin + ROWS]
        _copy(connection, "COPY staged FROM STDIN (FORMAT csv)", _staged(stream, chunk, begin))
    connection.execute(f"CREATE INDEX ON staged ((n / {size}))".encode())
    connection.execute("ANALYZE staged")
    connection.execute("SET synchronous_commit = off")
    connection.execute((_APPLY % {"last": (len(events) - 1) // size, "size": size}).encode())
    found = connection.execute(
        f"SELECT count(DISTINCT (n / {size}, kind IN ({Kind.UPDATE:d}, {Kind.REDELIVERED:d}), sale_id)) FROM staged".encode()
    ).fetchone()
    connection.execute("DROP TABLE staged")
    assert found is not None  # an aggregate yields one row
    return int(found[0])


def _staged(stream: Stream, events: Ints, begin: int) -> pa.Array:
    rows = stream.fields(stream.sale[events], stream.version[events])
    broken = stream.kind[events] == Kind.BROKEN
    numbers = pa.array(range(begin, begin + len(events))).cast(pa.string())
    kinds = pa.array(stream.kind[events]).cast(pa.string())
    return pc.binary_join_element_wise(numbers, kinds, csv_lines(rows, broken, letters_too=False), ",")


def _copy(connection: psycopg.Connection, statement: str, lines: pa.Array) -> None:
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        copy.write(joined(lines))
