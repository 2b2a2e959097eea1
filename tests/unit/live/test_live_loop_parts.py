"""Given tables that change and transactions in parts, then the loop keeps what does not fit, and shows what is whole."""

from dataclasses import replace
from decimal import Decimal

from tests.polling import until
from tests.unit.live.engines import Rig, Rigs, batch
from tests.unit.live.histories import item, order, upserts
from tests.unit.live.plans import ORDERS, sums
from tests.unit.live.seen import NARROW, kept, let_go, logged_orders, money, published
from topline.changes import Part, Position, SchemaChange, SourceBatch
from topline.results import Changed, Replace
from topline.schema import Column, TableSchema, Type

# tables that change


RETYPED = TableSchema("shop.orders", tuple(Column(c.name, Type.TEXT) for c in ORDERS.columns), ORDERS.key)
WIDE = TableSchema("shop.orders", (*ORDERS.columns, Column("more", Type.TEXT)), ORDERS.key)


def schema_batch(schema: TableSchema, *parts: Part, hi: int, complete: bool = True) -> SourceBatch:
    return batch(SchemaChange("shop.orders", schema), *parts, hi=hi, complete=complete)


def lacking(number: int, hi: int) -> Part:
    part = upserts("shop.orders", order(number, "10", "A"), hi=hi)
    return replace(part, rows=part.rows.drop_columns(["city"]))


def test_what_a_table_that_lost_a_column_brings_is_kept_and_not_folded(rig: Rigs) -> None:
    one = rig(sums())
    one.take(batch(money(1)))
    one.take(schema_batch(NARROW, lacking(2, 2), upserts("shop.items", item(1, 5), hi=2), hi=2))
    assert one.engine.holds.held_models() == {"money", "over"}
    assert (logged_orders(one), len(kept(one)), published(one)[-1]) == ([1], 1, (2, ["pieces"]))
    assert list(one.log.holds()) == ["shop.orders"], "and after a restart too"
    assert one.engine.resyncs == set()
    assert rig(sums()).engine.holds.is_held("shop.orders")


def test_a_table_that_fits_again_brings_what_was_kept_of_it(rig: Rigs) -> None:
    """A column's type changed and came back; what came meanwhile is as the models want it."""
    one = rig(sums())
    one.take(batch(money(1)))
    one.take(schema_batch(RETYPED, money(2, hi=2), hi=2))
    assert logged_orders(one) == [1]
    one.take(schema_batch(ORDERS, money(3, hi=3), hi=3))
    assert (logged_orders(one), kept(one), one.log.holds()) == ([1, 2, 3], [], {})
    assert (one.engine.holds.tables, one.engine.resyncs) == ({}, set())
    assert published(one)[-1] == (3, ["money", "over"])


def test_within_one_batch_a_table_may_be_held_and_go_on(rig: Rigs) -> None:
    one = rig(sums())
    parts = (
        SchemaChange("shop.orders", RETYPED),
        money(1),
        upserts("shop.items", item(1, 5)),
        SchemaChange("shop.orders", ORDERS),
    )
    one.take(batch(*parts, money(2)))
    assert (logged_orders(one), kept(one)) == ([1, 2], [])


def test_a_table_whose_kept_rows_lack_a_column_is_read_anew(rig: Rigs) -> None:
    one = rig(sums())
    one.take(schema_batch(NARROW, lacking(2, 2), hi=2))
    one.take(schema_batch(ORDERS, money(3, hi=3), hi=3))
    assert one.engine.resyncs == {"shop.orders"}
    assert one.engine.holds.tables == {"shop.orders": "table shop.orders is as the models want it again, and is read anew"}
    assert (logged_orders(one), len(kept(one))) == ([], 2)


def test_a_table_that_was_not_held_goes_on_with_new_columns(rig: Rigs) -> None:
    one = rig(sums())
    one.take(schema_batch(WIDE, money(1), hi=2))
    assert (logged_orders(one), one.log.holds(), one.engine.resyncs) == ([1], {}, set())


# transactions in parts


def part_of(number: int, *more: Part, last: bool = False) -> SourceBatch:
    made = batch(money(number, hi=9), *more, hi=9, complete=last)
    return made if last else replace(made, positions={})


def test_a_transaction_in_parts_is_one_epoch(rig: Rigs) -> None:
    one = rig(sums())
    one.take(part_of(1))
    assert (one.log.epoch, one.engine.counts.batches) == (0, 0)
    one.take(part_of(2, last=True))
    assert (one.log.epoch, logged_orders(one)) == (1, [1, 2])


def test_a_transaction_larger_than_a_batch_is_seen_with_its_last_part(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=2)
    seen: list[tuple[int, list[int], object]] = []
    append = one.log.append

    def watched(entry: object) -> int:
        number = append(entry)  # type: ignore[arg-type]
        seen.append((number, logged_orders(one), one.log.resume("shop")[0]))
        return number

    one.log.append = watched  # type: ignore[method-assign]
    one.give(*[part_of(n) for n in range(1, 5)], part_of(5, last=True))
    assert one.engine.turn(0.0) is False
    while one.readers.queued():
        one.engine.turn(0.0)
    one.engine.turn(0.0)
    assert [orders for _, orders, _ in seen] == [[], [], [], [], [1, 2, 3, 4, 5]]
    assert [stands for _, _, stands in seen] == [{}] * 4 + [{"one": Position(9, 1 << 20)}]
    assert published(one)[-1] == (5, ["money", "over"])
    assert let_go(one) == Position(9, 1 << 20)


def test_a_run_that_is_stopped_amid_a_large_transaction_ends_at_once_and_keeps_nothing_of_it(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=2, start=False)
    for source_batch in [*[part_of(n) for n in range(1, 5)], part_of(5, last=True)]:
        one.sources["shop"].give(source_batch)
    one.engine.run(lambda: one.log.epoch >= 2, lambda: None)
    assert (one.log.epoch, logged_orders(one), one.log.get("checkpoint_epoch")) == (2, [], None)
    assert published(one)[-1:] in ([], [(0, [])])
    again = rig(sums(), batch_rows=2)
    assert (again.log.epoch, until(lambda: again.sources["shop"].resumes)[-1].positions) == (0, {})


def test_a_large_transaction_that_is_refused_midway_leaves_nothing(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=2)
    one.take(batch(money(7)))
    bad = upserts("shop.salesmen", ("Ana", None, None), hi=9)
    one.give(part_of(1), part_of(2), part_of(3, bad), part_of(4, last=True))
    while one.readers.queued():
        one.engine.turn(0.0)
    one.engine.turn(0.0)
    assert (one.log.epoch, logged_orders(one)) == (1, [7])
    assert "NULL in the key column" in one.readers.states["shop"].error
    assert [row["total"] for row in _current(one, "money")] == [Decimal(10)]
    with one.readers.paused("shop"):
        pass
    one.give(part_of(1), part_of(2), part_of(3), part_of(4, last=True))
    while one.readers.queued():
        one.engine.turn(0.0)
    one.engine.turn(0.0)
    assert logged_orders(one) == [1, 2, 3, 4, 7]
    assert [row["total"] for row in _rows(one, "money")] == [Decimal(50)]


def _current(rig: Rig, model: str) -> list[dict[str, object]]:
    return [row for chunk in rig.engine.machinery.dataflow.all_rows(model) for row in chunk.to_pylist()]


def _rows(rig: Rig, model: str) -> list[dict[str, object]]:
    """What was published of the model last."""
    found = next(epoch.models[model] for epoch in reversed(rig.results.epochs) if model in epoch.models)
    return found.rows.to_pylist() if isinstance(found, Changed) else [r for chunk in found.chunks for r in chunk.to_pylist()]


def test_a_model_that_halted_amid_a_large_transaction_only_goes_on_and_is_published_whole(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=2)
    one.take(batch(money(7)))
    huge = "99999999999999"
    one.give(part_of(2, money(1, huge, "B", hi=9)), part_of(3, money(4, huge, "B", hi=9)))
    one.give(part_of(1, money(4, "1", "B", hi=9), last=True))
    while one.readers.queued():
        one.engine.turn(0.0)
    one.engine.turn(0.0)
    assert one.engine.holds.models == {}
    assert isinstance(one.results.epochs[-1].models["money"], Replace)
    assert {str(row["city"]): row["total"] for row in _rows(one, "money")} == {"A": Decimal(40), "B": Decimal(1)}


def test_a_model_that_stood_still_before_a_large_transaction_still_does_after_it(rig: Rigs) -> None:
    one = rig(sums(), batch_rows=2)
    one.take(batch(upserts("shop.items", (1, 1, "pens", 2**62), (2, 1, "pens", 2**62))))
    assert set(one.engine.holds.models) == {"pieces"}
    before = dict(one.engine.holds.models)
    one.give(part_of(1), part_of(2), part_of(3, last=True))
    while one.readers.queued():
        one.engine.turn(0.0)
    one.engine.turn(0.0)
    assert one.engine.holds.models == before
    assert published(one)[-1] == (4, ["money", "over"])
