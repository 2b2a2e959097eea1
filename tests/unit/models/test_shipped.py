"""The shipped project: its plan, and that nodes, DuckDB and PostgreSQL give the same rows from scratch."""

from collections import Counter

import pytest

from tests.conftest import Postgres
from tests.unit.models.generated import rows
from tests.unit.models.relations import by_nodes, in_duckdb, in_postgres, sales_plan
from topline.models.plan import Aggregate, Join, Node, Scan, Select, TopN, Union


@pytest.mark.parametrize("seed", range(6))
def test_nodes_duckdb_and_postgres_agree(seed: int, postgres: Postgres) -> None:
    plan, given = sales_plan(), rows(seed)

    expected = in_duckdb(plan, given)

    assert by_nodes(plan, given) == expected
    assert in_postgres(plan, given, postgres.dsn("models")) == expected
    assert all(expected[name] for name in plan.models), "every model has rows to compare"


def test_every_order_that_is_not_cancelled_is_a_sale_or_a_rejected_sale() -> None:
    given = rows(7)
    found = in_duckdb(sales_plan(), given)

    orders = sum(1 for order in given["shop.orders"] if order[5] != "cancelled")
    others = len(given["branches.sales"]) + len(given["partner.entries"])

    assert len(found["sales"]) + len(found["rejected_sales"]) == orders + others


def test_the_plan_of_the_shipped_project() -> None:
    plan = sales_plan()

    kinds = Counter(type(node) for node in plan.nodes)

    assert list(plan.tables) == [
        "branches.sales", "partner.entries", "shop.customers", "shop.order_items", "shop.orders", "shop.salesmen",
    ]  # fmt: skip
    assert [m.name for m in plan.models.values() if m.published] == [
        "rejected_sales", "salesman_city_daily", "salesman_daily", "top_sales_by_city", "top_salesmen",
    ]  # fmt: skip
    assert (kinds[Scan], kinds[Join], kinds[Union], kinds[Aggregate], kinds[TopN]) == (6, 4, 2, 5, 1)
    assert kinds[Select] == 20, "stateless chains are fused"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("shop_sales", ("sale_id",)),
        ("sales", ("source", "sale_id")),
        ("rejected_sales", ("source", "source_table", "row_key")),
        ("top_sales_by_city", ("date", "country", "region", "city")),
        ("salesman_city_daily", ("date", "salesman_id", "country", "region", "city")),
        ("salesman_daily", ("date", "salesman_id")),
        ("top_salesmen", ("date", "salesman_id")),
    ],
)
def test_keys(model: str, key: tuple[str, ...]) -> None:
    assert sales_plan().models[model].schema.key == key


def test_a_model_read_twice_is_one_node_with_two_readers() -> None:
    plan = sales_plan()
    sales = plan.models["sales"].root

    readers = [node for node in plan.nodes if getattr(node, "input", None) is sales]

    assert len(readers) == 3


def test_nodes_stand_after_their_inputs() -> None:
    plan = sales_plan()
    place: dict[Node, int] = {node: i for i, node in enumerate(plan.nodes)}

    assert all(place[node.input] < place[node] for node in plan.nodes if isinstance(node, Select | Aggregate | TopN))


def test_lineage_goes_down_to_source_columns() -> None:
    lineage = {item.column: item.origins for item in sales_plan().models["top_salesmen"].lineage}

    assert lineage["total_sales"] == (
        ("branches.sales", "amount"),
        ("partner.entries", "amount"),
        ("shop.order_items", "quantity"),
        ("shop.order_items", "unit_price"),
    )
    assert lineage["date"] == (("branches.sales", "sold_at"), ("partner.entries", "sold_on"), ("shop.orders", "ordered_at"))


def test_fingerprints_are_stable_and_change_with_the_zone() -> None:
    first = sales_plan()
    sales_plan.cache_clear()
    again, other = sales_plan(), sales_plan("Asia/Tokyo")

    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint
    assert first.models["shop_sales"].fingerprint != other.models["shop_sales"].fingerprint


def test_the_shipped_models_run_everywhere_and_are_described() -> None:
    for model in sales_plan().models.values():
        assert model.live_only == ""
        assert model.description, model.name
        assert set(model.column_descriptions) == set(model.schema.names), model.name
