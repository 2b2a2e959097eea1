"""Models: SQL files of a dbt project to a plan that every engine, `explain`, lineage and the audit read."""

from topline.models.examples import UnitTest, unit_tests
from topline.models.explanation import Explanation, Step, explain, render_explanation
from topline.models.faults import ModelErrors
from topline.models.loader import load
from topline.models.subplan import subplan

__all__ = [
    "Explanation",
    "ModelErrors",
    "Step",
    "UnitTest",
    "explain",
    "load",
    "render_explanation",
    "subplan",
    "unit_tests",
]
