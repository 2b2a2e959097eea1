"""Results in PostgreSQL: publishing epochs, and reading what was published."""

from topline.results.asof import AsOf
from topline.results.checking import check_results
from topline.results.commands import Answer, Command, Commands
from topline.results.connection import RefusedError
from topline.results.epoch import Changed, Epoch, Model, Opened, Replace, Whole, Within
from topline.results.publisher import CHANNEL, Publisher
from topline.results.reading import Page, Reader
from topline.results.snapshot import Snapshot
from topline.results.status import DeadLetterStatus, EngineStatus, SourceStatus, StatusWriter

__all__ = [
    "CHANNEL",
    "Answer",
    "AsOf",
    "Changed",
    "Command",
    "Commands",
    "DeadLetterStatus",
    "EngineStatus",
    "Epoch",
    "Model",
    "Opened",
    "Page",
    "Publisher",
    "Reader",
    "RefusedError",
    "Replace",
    "Snapshot",
    "SourceStatus",
    "StatusWriter",
    "Whole",
    "Within",
    "check_results",
]
