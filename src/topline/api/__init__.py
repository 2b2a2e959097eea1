"""The REST API over the published results. Thin: it reads PostgreSQL, and knows nothing of the engine."""

from topline.api.app import create_app
from topline.api.server import Server, serve

__all__ = ["Server", "create_app", "serve"]
