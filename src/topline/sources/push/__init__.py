"""Rows that others send to the API: each request is a transaction in an inbox beside the log, which the engine reads."""

from topline.sources.push.intake import Intake
from topline.sources.push.settings import PushSettings as Settings
from topline.sources.push.source import PushSource, create, intakes

__all__ = ["Intake", "PushSource", "Settings", "create", "intakes"]
