"""The durable log: every change, position and dead letter, one transaction a batch. The log is the truth, the state a cache."""

from topline.log.books import CHECKPOINT
from topline.log.entry import HeldChange, LetterState, LogEntry, LoggedBatch, StoredLetter
from topline.log.letters import Letters
from topline.log.pins import Pin
from topline.log.reader import LogReader
from topline.log.writer import Log

__all__ = [
    "CHECKPOINT",
    "HeldChange",
    "LetterState",
    "Letters",
    "Log",
    "LogEntry",
    "LogReader",
    "LoggedBatch",
    "Pin",
    "StoredLetter",
]
