"""Models: SQL files of a dbt project to a plan that every engine, `explain`, lineage and the audit read."""

from topline.models.faults import ModelErrors
from topline.models.loader import load

__all__ = ["ModelErrors", "load"]
