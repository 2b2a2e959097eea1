"""PostgreSQL that Topline starts itself (`embedded:NAME`), for the demo and for results without a server of one's own."""

from topline.embedded.server import EmbeddedPostgres

__all__ = ["EmbeddedPostgres"]
