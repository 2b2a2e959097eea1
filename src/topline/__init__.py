"""Topline keeps sales rankings exact: changes of keyed tables in, published rankings in PostgreSQL out."""

__version__ = "0.1.0"
