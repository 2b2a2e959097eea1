"""The questions that the API asks, each as SQL beside its Python: days, cities, salesmen, any model, operations."""

from topline.results.questions.days import Days
from topline.results.questions.operations import dead_letter, dead_letters, published, sources
from topline.results.questions.places import Place, Places
from topline.results.questions.question import Listing, Order
from topline.results.questions.rows import has_cities, model_rows, orders
from topline.results.questions.sales import city_history, top_cities
from topline.results.questions.salesmen import salesman_history, salesman_totals, top_salesmen

__all__ = [
    "Days",
    "Listing",
    "Order",
    "Place",
    "Places",
    "city_history",
    "dead_letter",
    "dead_letters",
    "has_cities",
    "model_rows",
    "orders",
    "published",
    "salesman_history",
    "salesman_totals",
    "sources",
    "top_cities",
    "top_salesmen",
]
