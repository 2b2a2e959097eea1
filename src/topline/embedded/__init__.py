"""Servers that Topline starts itself (`embedded:NAME`): PostgreSQL, for the demo and for results without a server of one's
own, and the service of the demo's partner."""

from topline.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
