"""`topline init --from`: looks at a source, and writes a project that reads it, with a first staging model to correct."""

from topline.scaffold.make import Made, make_project

__all__ = ["Made", "make_project"]
