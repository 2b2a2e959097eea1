"""What a test of the loop hands in, and what came of it in the log, at the source and in the results."""

from tests.polling import until
from tests.unit.live.engines import Rig
from tests.unit.live.histories import order, upserts
from tests.unit.live.plans import ORDERS
from topline.changes import Part, Position
from topline.log import HeldChange
from topline.schema import TableSchema

NARROW = TableSchema("shop.orders", tuple(c for c in ORDERS.columns if c.name != "city"), ORDERS.key)


def money(number: int, amount: str = "10", city: str = "A", hi: int = 1) -> Part:
    return upserts("shop.orders", order(number, amount, city), hi=hi)


def published(rig: Rig) -> list[tuple[int, list[str]]]:
    return [(epoch.number, sorted(epoch.models)) for epoch in rig.results.epochs]


def let_go(rig: Rig, source: str = "shop") -> Position:
    """Where the source was told that it is committed."""
    told = rig.sources[source].let_go
    until(lambda: told)
    return told[-1]["one"]


def logged_orders(rig: Rig) -> list[int]:
    return sorted(n for chunk in rig.log.snapshot("shop.orders") for n in chunk["order_id"].to_pylist())


def kept(rig: Rig) -> list[HeldChange]:
    return list(rig.log.held("shop.orders"))
