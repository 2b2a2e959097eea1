"""What a model cannot bear stops that model and those over it, with a message; the others go on."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tests.unit.live.histories import DAY, changes, deletes, item, order, upserts
from tests.unit.live.plans import ITEMS, ORDERS, aggregate, pick, plan, scan, select, sums
from topline.changes import UPSERT, Position, Sweep, TableChanges
from topline.errors import SourceHalted, StateError
from topline.live.dataflow import Dataflow
from topline.models.plan import Node, ProjectPlan
from topline.schema import Type


@pytest.fixture(autouse=True, params=[10_000, 0], ids=["in turn", "side by side"])
def _folded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topline.live.dataflow.MANY", request.param)


def test_a_sum_beyond_decimal_halts_its_model_and_those_over_it() -> None:
    dataflow = Dataflow(sums())
    largest = "99999999999999.9999"
    assert dataflow.apply([upserts("shop.orders", order(1, largest))]).halted == {}
    applied = dataflow.apply([upserts("shop.orders", order(2, "0.0001")), upserts("shop.items", item(1, 5))])
    assert set(applied.halted) == {"money", "over"}
    assert "overflows DECIMAL(18,4)" in applied.halted["money"]
    assert list(applied.dirty) == ["pieces"]
    again = dataflow.apply([deletes("shop.orders", order(2, "0.0001")), upserts("shop.items", item(2, 6))])
    assert (again.halted, list(again.dirty)) == ({}, ["pieces"])
    assert set(dataflow.halted) == {"money", "over"}


def test_a_sum_up_to_the_limit_is_exact_even_where_the_way_there_is_not() -> None:
    dataflow = Dataflow(sums())
    parts = [upserts("shop.items", *[(n, 1, "pens", 2**62) for n in range(4)], *[(n, 2, "pens", -(2**62)) for n in range(3)])]
    assert dataflow.apply(parts).halted == {}
    assert next(dataflow.all_rows("pieces")).to_pylist() == [{"category": "pens", "quantity": 2**62}]


def test_a_sum_beyond_bigint_never_wraps() -> None:
    dataflow = Dataflow(sums())
    halted = dataflow.apply([upserts("shop.items", item(1, 2**63 - 1), item(2, 1))]).halted
    assert "overflows BIGINT: a group reaches 9223372036854775808" in halted["pieces"]


def test_an_expression_that_fails_halts_its_model() -> None:
    broken = select(scan(ORDERS), [("order_id", Type.BIGINT, '"order_id"'), ("x", Type.BIGINT, 'CAST("city" AS BIGINT)')])
    dataflow = Dataflow(
        plan({"broken": broken, "fine": pick(scan(ITEMS), "order_id")}, {"broken": ("order_id",), "fine": ("order_id",)})
    )
    applied = dataflow.apply([upserts("shop.orders", order(1, "1")), upserts("shop.items", item(1, 5))])
    assert "Porto" in applied.halted["broken"]
    assert list(applied.dirty) == ["fine"]


def test_a_broken_key_names_both_rows_and_stops_what_reads_the_model(tmp_path: Path) -> None:
    picked = pick(scan(ORDERS), "city", "amount")
    models: dict[str, Node] = {"cities": picked, "over": aggregate(picked, ["amount"]), "fine": pick(scan(ORDERS), "order_id")}
    base = plan(models, {"cities": ("city",), "over": ("amount",), "fine": ("order_id",)})
    dataflow = Dataflow(base)
    dataflow.apply([upserts("shop.orders", order(1, "10"))])
    applied = dataflow.apply([upserts("shop.orders", order(2, "20"))])
    assert set(applied.halted) == {"cities", "over"}
    assert applied.halted["over"].startswith("over reads cities, which has stopped")
    for told in ("(city)", "amount=10.0000", "amount=20.0000", "city=Porto"):
        assert told in applied.halted["cities"]
    assert list(applied.dirty) == ["fine"]
    dataflow.dump(tmp_path / "state")
    assert Dataflow.load(base, tmp_path / "state").halted == dataflow.halted


def test_a_key_may_move_from_row_to_row_in_one_batch() -> None:
    picked = pick(scan(ORDERS), "city", "amount")
    dataflow = Dataflow(plan({"cities": picked}, {"cities": ("city",)}))
    dataflow.apply([upserts("shop.orders", order(1, "10", "A"), order(2, "20", "B"))])
    assert dataflow.apply([upserts("shop.orders", order(1, "10", "B"), order(2, "20", "A"))]).halted == {}


def test_null_in_a_published_key_halts() -> None:
    base = plan({"cities": aggregate(scan(ORDERS), ["city"])}, {"cities": ("city",)})
    raw = base.nodes[-1]
    dataflow = Dataflow(plan_without_coalesce(base, raw))
    applied = dataflow.apply([upserts("shop.orders", (1, DAY, None, "s1", None, None, None))])
    assert "the key column city is NULL" in applied.halted["cities"]


def plan_without_coalesce(base: ProjectPlan, root: Node) -> ProjectPlan:
    source = root.input  # type: ignore[attr-defined]
    models = {name: replace(model, root=source) for name, model in base.models.items()}
    return replace(base, models=models, nodes=tuple(node for node in base.nodes if node is not root))


def test_a_null_in_a_tables_key_is_refused_before_anything_is_applied() -> None:
    dataflow = Dataflow(sums())
    with pytest.raises(SourceHalted, match=r"shop\.salesmen: .* NULL in the key column salesman_id"):
        dataflow.apply([upserts("shop.orders", order(1, "1")), upserts("shop.salesmen", ("Ana", None, None))])
    assert dataflow.table_count("shop.orders") == 0


# unchanged values


def unchanged(change: TableChanges, *bits: int) -> TableChanges:
    return replace(change, unchanged=np.array(bits))


CITY, AMOUNT = 1 << 2, 1 << 4


def test_an_unchanged_value_comes_from_the_change_before_or_the_table() -> None:
    dataflow = Dataflow(plan({"o": pick(scan(ORDERS), "order_id")}, {"o": ("order_id",)}))
    dataflow.apply([upserts("shop.orders", order(1, "10", "Porto"), order(2, "20", "Lisboa"))])
    blank = (DAY, None, "s1", None, None, None)
    part = changes(
        "shop.orders",
        [
            (UPSERT, (1, *blank)),
            (UPSERT, (2, DAY, None, "s2", Decimal("5"), None, None)),
            (UPSERT, (1, *blank)),
            (UPSERT, (2, *blank)),
        ],
    )
    (resolved,) = dataflow.apply([unchanged(part, CITY | AMOUNT, CITY, CITY | AMOUNT, CITY | AMOUNT)]).resolved
    assert resolved.unchanged is None
    assert resolved.rows["city"].to_pylist() == ["Porto", "Lisboa", "Porto", "Lisboa"]
    assert resolved.rows["amount"].to_pylist() == [Decimal(x) for x in ("10", "5", "10", "5")]
    rows = {row["order_id"]: (row["city"], row["amount"]) for row in dataflow.table("shop.orders").to_pylist()}
    assert rows == {1: ("Porto", Decimal("10")), 2: ("Lisboa", Decimal("5"))}


def test_an_unchanged_value_of_a_row_that_is_not_here_says_what_to_do() -> None:
    dataflow = Dataflow(sums())
    part = unchanged(upserts("shop.orders", order(1, "10")), CITY)
    with pytest.raises(SourceHalted, match=r"topline resync shop\.orders"):
        dataflow.apply([part])


# checkpoints


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    base, path = sums(), tmp_path / "state"
    dataflow = Dataflow(base)
    dataflow.apply([upserts("shop.orders", *[order(n, "1") for n in range(500)])])
    dataflow.dump(path)
    assert Dataflow.load(base, path).table_count("shop.orders") == 500
    with pytest.raises(StateError, match="has plan fingerprint, wanted is other"):
        Dataflow.load(replace(base, fingerprint="other"), path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], bytes([whole[0] ^ 1]) + whole[1:], b""):
        path.write_bytes(damaged)
        with pytest.raises(StateError, match="no readable checkpoint"):
            Dataflow.load(base, path)
    with pytest.raises(StateError):
        Dataflow.load(base, tmp_path / "none")


def test_an_equal_row_is_no_change_but_moves_the_owner() -> None:
    dataflow = Dataflow(sums())
    dataflow.apply([upserts("shop.orders", order(1, "10"), partition="old.csv", hi=1)])
    assert dataflow.apply([upserts("shop.orders", order(1, "10"), partition="new.csv", hi=2)]).dirty == {}
    assert dataflow.apply([Sweep("shop.orders", "old.csv", 9, Position(9, 0))]).resolved == ()
    assert dataflow.apply([Sweep("shop.orders", "new.csv", 2, Position(9, 0))]).resolved == ()
    (swept,) = dataflow.apply([Sweep("shop.orders", "new.csv", 9, Position(9, 4))]).resolved
    assert (swept.partition, swept.hi.tolist(), swept.lo.tolist(), swept.rows["order_id"].to_pylist()) == (
        "new.csv",
        [9],
        [4],
        [1],
    )
    assert dataflow.table_count("shop.orders") == 0
