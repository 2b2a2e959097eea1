"""What a sale needs is found in databases as others made them: by names, types and references."""

import re

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from topline.scaffold.found import FoundColumn, FoundTable, Reference
from topline.scaffold.guess import Sketch, sketch
from topline.scaffold.words import identifiers, scalar
from topline.schema import Type

TYPES = {"t": Type.TEXT, "i": Type.BIGINT, "d": Type.DATE, "z": Type.TIMESTAMPTZ, "b": Type.BOOLEAN}


def table(name: str, columns: str, key: str, references: str = "", rows: int = 10) -> FoundTable:
    """`columns`: name:type, `n` being a number as text; `references`: column>table.column."""
    pairs = [column.split(":") for column in columns.split()]
    found = tuple(FoundColumn(name, TYPES.get(kind, Type.TEXT), kind in "ni") for name, kind in pairs)
    parts = [reference.replace(">", ".").split(".") for reference in references.split()]
    return FoundTable(name, found, tuple(key.split()), tuple(Reference((c,), to, (r,)) for c, to, r in parts), rows)


def uses(found: Sketch) -> dict[str, str]:
    return {role: " ".join(f"{use.alias}.{use.column.name}" for use in used) for role, used in found.uses.items() if used}


def test_one_flat_table() -> None:
    found = sketch(
        [
            table(
                "sales",
                "sale_id:t sold_at:t country:t region:t city:t salesman_id:t salesman_name:t amount:n currency:t",
                "sale_id",
            )
        ]
    )
    assert uses(found) == {
        "date": "sales.sold_at",
        "amount": "sales.amount",
        "city": "sales.city",
        "region": "sales.region",
        "country": "sales.country",
        "salesman_id": "sales.salesman_id",
        "salesman_name": "sales.salesman_name",
        "currency": "sales.currency",
    }


def test_a_normalised_shop_without_declared_references() -> None:
    found = sketch(
        [
            table("customers", "customer_id:t name:t city:t region:t country:t", "customer_id"),
            table("salesmen", "salesman_id:t salesman_name:t city:t", "salesman_id"),
            table("orders", "order_id:t customer_id:t salesman_id:t ordered_at:z currency:t status:t", "order_id", rows=100),
            table("order_items", "order_id:t item_no:i product:t quantity:i unit_price:n", "order_id item_no", rows=300),
        ]
    )
    assert found.fact.name == "orders"
    assert uses(found) == {
        "date": "orders.ordered_at",
        "city": "customers.city",
        "region": "customers.region",
        "country": "customers.country",
        "salesman_id": "salesmen.salesman_id",
        "salesman_name": "salesmen.salesman_name",
        "currency": "orders.currency",
    }
    assert found.lines is not None
    assert (found.lines.table.name, found.lines.price.name) == ("order_items", "unit_price")
    assert found.lines.quantity is not None
    assert found.lines.quantity.name == "quantity"


def test_a_music_shop_whose_employees_support_its_customers() -> None:
    """Chinook's shape: the salesman is two references away, and has a city of his own that is not the sale's."""
    people = "FirstName:t LastName:t City:t State:t Country:t"
    found = sketch(
        [
            table("Customer", f"CustomerId:i {people} SupportRepId:i", "CustomerId", "SupportRepId>Employee.EmployeeId", 59),
            table(
                "Employee", f"EmployeeId:i {people} HireDate:d ReportsTo:i", "EmployeeId", "ReportsTo>Employee.EmployeeId", 8
            ),
            table(
                "Invoice",
                "InvoiceId:i CustomerId:i InvoiceDate:d BillingCity:t BillingState:t BillingCountry:t Total:n",
                "InvoiceId",
                "CustomerId>Customer.CustomerId",
                412,
            ),
            table(
                "InvoiceLine",
                "InvoiceLineId:i InvoiceId:i TrackId:i UnitPrice:n Quantity:i",
                "InvoiceLineId",
                "InvoiceId>Invoice.InvoiceId",
                2240,
            ),
        ]
    )
    assert uses(found) == {
        "date": "Invoice.InvoiceDate",
        "amount": "Invoice.Total",
        "city": "Invoice.BillingCity",
        "region": "Invoice.BillingState",
        "country": "Invoice.BillingCountry",
        "salesman_id": "Employee.EmployeeId",
        "salesman_name": "Employee.FirstName Employee.LastName",
    }
    assert [join.alias for join in found.joins] == ["Customer", "Employee"]
    assert found.lines is None


def test_a_trading_house_with_discounted_lines() -> None:
    """Northwind's shape: amounts are in the lines only."""
    found = sketch(
        [
            table(
                "orders",
                "order_id:i customer_id:t employee_id:i order_date:d required_date:d freight:n ship_city:t ship_region:t "
                "ship_country:t",
                "order_id",
                "employee_id>employees.employee_id customer_id>customers.customer_id",
                830,
            ),
            table(
                "order_details",
                "order_id:i product_id:i unit_price:n quantity:i discount:n",
                "order_id product_id",
                "order_id>orders.order_id",
                2155,
            ),
            table("employees", "employee_id:i last_name:t first_name:t birth_date:d hire_date:d city:t", "employee_id", "", 9),
            table("customers", "customer_id:t company_name:t city:t country:t", "customer_id", "", 91),
        ]
    )
    assert (found.fact.name, found.lines and found.lines.table.name) == ("orders", "order_details")
    assert found.lines is not None
    assert found.lines.discount is not None
    assert uses(found)["city"] == "orders.ship_city"
    assert uses(found)["date"] == "orders.order_date"
    assert uses(found)["salesman_name"] == "employees.first_name employees.last_name"


def test_tpch() -> None:
    found = sketch(
        [
            table("nation", "n_nationkey:i n_name:t n_regionkey:i", "n_nationkey", "n_regionkey>region.r_regionkey", 25),
            table("region", "r_regionkey:i r_name:t", "r_regionkey", "", 5),
            table(
                "customer",
                "c_custkey:i c_name:t c_nationkey:i c_acctbal:n",
                "c_custkey",
                "c_nationkey>nation.n_nationkey",
                1500,
            ),
            table(
                "orders",
                "o_orderkey:i o_custkey:i o_totalprice:n o_orderdate:d o_clerk:t",
                "o_orderkey",
                "o_custkey>customer.c_custkey",
                15000,
            ),
        ]
    )
    assert uses(found) == {
        "date": "orders.o_orderdate",
        "amount": "orders.o_totalprice",
        "region": "region.r_name",
        "country": "nation.n_name",
        "salesman_id": "orders.o_clerk",
    }


def test_german_however_its_umlauts_are_written() -> None:
    columns = "Beleg:t Verkaufsdatum:t Stadt:t Land:t Verkäufer-Nr:t Verkäufer:t Gesamtbetrag:n Waehrung:t"
    assert uses(sketch([table("verkauf", columns, "Beleg")])) == {
        "date": "verkauf.Verkaufsdatum",
        "amount": "verkauf.Gesamtbetrag",
        "city": "verkauf.Stadt",
        "country": "verkauf.Land",
        "salesman_id": "verkauf.Verkäufer-Nr",
        "salesman_name": "verkauf.Verkäufer",
        "currency": "verkauf.Waehrung",
    }


def test_a_german_shop_of_several_tables() -> None:
    found = sketch(
        [
            table("kunden", "kunden_nr:i ort:t land:t", "kunden_nr"),
            table("mitarbeiter", "nr:i vorname:t nachname:t", "nr"),
            table(
                "bestellungen",
                "id:i kunden_nr:i verkaeufer:i bestellt_am:z waehrung:t",
                "id",
                "verkaeufer>mitarbeiter.nr kunden_nr>kunden.kunden_nr",
                50,
            ),
            table("positionen", "id:i bestellung:i menge:i einzelpreis:n", "id", "bestellung>bestellungen.id", 90),
        ]
    )
    assert uses(found) == {
        "date": "bestellungen.bestellt_am",
        "city": "kunden.ort",
        "country": "kunden.land",
        "salesman_id": "mitarbeiter.nr",
        "salesman_name": "mitarbeiter.vorname mitarbeiter.nachname",
        "currency": "bestellungen.waehrung",
    }
    assert found.lines is not None
    assert (found.lines.price.name, found.lines.quantity and found.lines.quantity.name) == ("einzelpreis", "menge")


def test_a_table_of_nothing_that_sells() -> None:
    found = sketch([table("notes", "note:t", "note")])
    assert uses(found) == {}


@given(st.lists(st.text(max_size=6), max_size=6))
def test_names_stay_apart(names: list[str]) -> None:
    found = identifiers(names)
    assert len(found) == len(set(found)) == len(names)
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in found)


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=12))
@example("a #b")
@example("a: b")
@example("yes")
@example("null")
@example("url:")
def test_a_scalar_is_read_as_it_was_written(value: str) -> None:
    assert yaml.safe_load(f"name: {scalar(value)}") == {"name": value}


def test_a_citys_name_is_nobodys() -> None:
    found = sketch([table("orders", "id:i date:d city_name:t country:t amount:n seller:t", "id")])
    assert uses(found)["city"] == "orders.city_name"
    assert "salesman_name" not in uses(found)
