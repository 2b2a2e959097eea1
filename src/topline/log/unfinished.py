"""Epochs amid a source's transaction. Its position comes with the last of them: what a crash leaves of it is taken out again,
for the source sends all of it anew."""

from sqlite3 import Connection

from topline.log.pins import floor

_HELD = "unfinished_held"  # the last kept change of held tables from before the transaction: those have no epoch


def note(connection: Connection, complete: bool) -> None:
    """Part of each commit."""
    if complete:
        connection.execute("DELETE FROM meta WHERE key = ?", (_HELD,))
        return
    last = connection.execute("SELECT coalesce(max(seq), 0) FROM held").fetchone()[0]
    connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (_HELD, str(last).encode()))


def discard(connection: Connection) -> None:
    """Go back to the last complete epoch."""
    complete = connection.execute("SELECT coalesce(max(epoch), 0) FROM commits WHERE complete").fetchone()[0]
    last = max(complete, floor(connection))
    if connection.execute("SELECT count(*) FROM commits WHERE epoch > ?", (last,)).fetchone()[0]:
        for table in ("batches", "dirty", "dead_letters", "commits"):
            connection.execute(f"DELETE FROM {table} WHERE epoch > ?", (last,))
    if (held := connection.execute("SELECT value FROM meta WHERE key = ?", (_HELD,)).fetchone()) is not None:
        connection.execute("DELETE FROM held WHERE seq > ?", (int(held[0]),))
        connection.execute("DELETE FROM meta WHERE key = ?", (_HELD,))
