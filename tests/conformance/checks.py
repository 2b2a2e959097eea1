"""The checks. Each takes an origin and fails with an AssertionError where the source over it breaks the standard."""

from tests.conformance.drive import SECONDS, batches, opened, read_to_end, read_until
from tests.conformance.ledger import Ledger, Rows
from tests.conformance.origin import TABLE, Origin
from tests.polling import until
from topline.errors import TransientError
from topline.sources.base import Resume, Source, reads_anew

FIRST: Rows = {f"k{number}": f"first {number}" for number in range(7)}
SECOND: Rows = {"k1": "second", "k5": None, "k8": 'é, "quoted"\nand on'}


def _change(origin: Origin, truth: Rows) -> None:
    """An update, an insert, a delete: three transactions."""
    origin.put(SECOND)
    origin.delete(["k2", "k6"])
    origin.put({"k9": "late"})
    truth.update(SECOND)
    truth.update({"k9": "late"})
    for key in ("k2", "k6"):
        truth.pop(key)


def first_read_gives_all(origin: Origin) -> None:
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
    assert ledger.rows == FIRST


def changes_arrive(origin: Origin) -> None:
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
        _change(origin, truth)
        read_until(source, ledger, truth)


def small_batches_give_the_same(origin: Origin) -> None:
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger, max_rows=1)
        _change(origin, truth)
        read_until(source, ledger, truth, max_rows=1)


def killed_after_any_batch_it_resumes(origin: Origin) -> None:
    """The n-th batch is committed and the process dies, for each n; or it is read, and lost before the commit."""
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger, max_rows=3)
    _change(origin, truth)
    for _ in range(100):
        ledger.restart()
        with opened(origin, ledger.resume) as source:
            committed = _commit_one_lose_one(source, ledger)
        if not committed:
            break
    ledger.restart()
    with opened(origin, ledger.resume) as source:
        read_until(source, ledger, truth)


def _commit_one_lose_one(source: Source, ledger: Ledger) -> bool:
    """False once there is nothing more to commit. What is committed is a whole transaction."""
    found = False
    for batch in batches(source, 2, source.reached_end):
        if found and batch.complete:
            return True
        if not found:
            ledger.commit(batch)
            source.acknowledge(dict(ledger.positions))
            found = batch.complete and bool(batch.parts)
    return False


def replayed_prefixes_change_nothing(origin: Origin) -> None:
    """Opened where the log stood earlier (a retry, with batches still in the queue), it changes nothing that is committed."""
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    stood = []
    with opened(origin, Resume()) as source:
        for batch in batches(source, 3, source.reached_end):
            ledger.commit(batch)
            if batch.complete:
                stood.append(ledger.resume)
        _change(origin, truth)
        read_until(source, ledger, truth)
    for resume in stood:
        ledger.restart()
        with opened(origin, resume) as source:
            read_until(source, ledger, truth)


def resumed_it_gives_later_changes_only_once(origin: Origin) -> None:
    """What changed while no source was there arrives, and what was there before stays."""
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    for round_number in range(3):
        with opened(origin, ledger.resume) as source:
            read_to_end(source, ledger)
            source.acknowledge(dict(ledger.positions))
        assert ledger.rows == truth
        ledger.restart()
        origin.put({"k0": f"round {round_number}", f"new{round_number}": "x"})
        truth.update({"k0": f"round {round_number}", f"new{round_number}": "x"})


def unacknowledged_is_not_let_go(origin: Origin) -> None:
    """What was read, and neither committed nor acknowledged, is read again by the next process."""
    origin.put(FIRST)
    with opened(origin, Resume()) as source:
        lost = list(batches(source, 1000, source.reached_end))
    assert lost, "nothing was read"
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
    assert ledger.rows == FIRST


def transactions_are_whole(origin: Origin) -> None:
    """However small the batches, what is visible is the origin as it stood between two transactions."""
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
        ledger.seen.clear()
        later: Rows = dict.fromkeys(FIRST, "changed")
        origin.put(later)
        read_until(source, ledger, later, max_rows=2)
    partial = [rows for rows in ledger.seen if rows not in (truth, later)]
    assert not partial, f"part of a transaction was visible: {partial[0]}"


def end_is_reached_once_all_was_read(origin: Origin) -> None:
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        assert not source.reached_end(), "it says that its end is reached before anything was read"
        read_to_end(source, ledger)
        assert source.reached_end()
        assert ledger.rows == FIRST, "it says that its end is reached, but not all was read"
    ledger.restart()
    with opened(origin, ledger.resume) as source:
        read_to_end(source, ledger)


def close_is_final_and_may_be_repeated(origin: Origin) -> None:
    origin.put(FIRST)
    source = origin.source()
    source.close()
    source.close()
    with opened(origin, Resume()) as source:
        source.close()
        assert _after_close(source) is None, "it gives batches after close"
        source.close()


def _after_close(source: Source) -> object:
    """A closed source may refuse to be read, in any way."""
    try:
        return source.read(10, 0.05)
    except Exception:  # noqa: BLE001
        return None


def interrupted_it_says_so_and_recovers(origin: Origin) -> None:
    truth = dict(FIRST)
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
        origin.interrupt()
        try:
            until(lambda: _fails(source, ledger), timeout=SECONDS, what="it raises TransientError")
            assert source.check(), "check finds nothing wrong with an origin that cannot be reached"
        finally:
            source.close()
            origin.mend()
    _change(origin, truth)
    ledger.restart()
    with opened(origin, ledger.resume) as source:
        read_until(source, ledger, truth)


def _fails(source: Source, ledger: Ledger) -> bool:
    try:
        batch = source.read(10, 0.05)
    except TransientError:
        return True
    if batch is not None:
        ledger.commit(batch)
    return False


def unreadable_records_are_kept(origin: Origin) -> None:
    """Byte for byte, beside good neighbours that count; and a replay does not keep them twice."""
    origin.put({"k0": "before"})
    raw = origin.corrupt({"k1": "neighbour", "k2": "other neighbour"})
    assert raw is not None, "no unreadable record can come from this origin: waive this check, with the reason"
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
    assert ledger.rows == {"k0": "before", "k1": "neighbour", "k2": "other neighbour"}
    assert [letter.raw for letter in ledger.letters] == [raw]
    assert ledger.letters[0].reason
    assert ledger.letters[0].locator
    with opened(origin, Resume()) as source:
        read_to_end(source, ledger)
    assert len(ledger.letters) == 1


def current_is_the_origin(origin: Origin) -> None:
    truth = dict(FIRST)
    origin.put(FIRST)
    _change(origin, truth)
    assert reads_anew(origin.source()), "it says that it cannot be listed"
    found = [row for table in origin.source().current("things") for row in table.to_pylist()]
    assert {row["id"]: row["value"] for row in found} == truth
    assert len(found) == len(truth)


def resync_reads_anew(origin: Origin) -> None:
    """Also what the ledger holds wrongly is put right: a row that the origin never had is retracted."""
    origin.put(FIRST)
    ledger = Ledger()
    with opened(origin, Resume()) as source:
        assert reads_anew(source), "it says that it cannot be read anew"
        read_to_end(source, ledger)
    ledger.corrupt_one("k3")
    ledger.restart()
    with opened(origin, ledger.resume) as source:
        source.close()
        ledger.remember(source.resync("things", ledger.resume))
    with opened(origin, ledger.resume) as source:
        read_until(source, ledger, FIRST)


def check_finds_nothing_wrong(origin: Origin) -> None:
    origin.put(FIRST)
    with opened(origin, Resume()) as source:
        assert source.check() == []
        assert source.name == TABLE.name.partition(".")[0]


CHECKS = (
    first_read_gives_all,
    changes_arrive,
    small_batches_give_the_same,
    killed_after_any_batch_it_resumes,
    replayed_prefixes_change_nothing,
    resumed_it_gives_later_changes_only_once,
    unacknowledged_is_not_let_go,
    transactions_are_whole,
    end_is_reached_once_all_was_read,
    close_is_final_and_may_be_repeated,
    interrupted_it_says_so_and_recovers,
    unreadable_records_are_kept,
    current_is_the_origin,
    resync_reads_anew,
    check_finds_nothing_wrong,
)
