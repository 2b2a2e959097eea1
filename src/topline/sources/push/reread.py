"""A kept record once more, under today's declarations. Its locator says what kind of body it came in."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from topline.changes import DELETE, DeadLetter, TableChanges
from topline.errors import StateError
from topline.sources import spill
from topline.sources.push import bodies
from topline.sources.push.bodies import Content
from topline.sources.push.intake import Intake

_CONTENT = re.compile(r"\(([^ ,]+), ([^ )]+)\)")


def reread(letter: DeadLetter, intake: Intake, state_dir: Path) -> TableChanges | DeadLetter:
    """The letter's rows, or the letter with the reason why it still cannot be read."""
    found = _CONTENT.search(letter.locator)
    content = Content(found[1], found[2]) if found else Content(bodies.JSON)
    try:
        found_rows = intake.sort_out(b"".join(spill.original(letter.raw, state_dir)), content)
    except StateError as error:
        return replace(letter, reason=str(error))
    rows = found_rows.rows
    if found_rows.invalid or not len(rows):
        return replace(letter, reason=found_rows.invalid[0].reason if found_rows.invalid else "it holds no row")
    if (rows.ops == DELETE).any():
        return replace(letter, reason="it takes a row out; a replay only brings rows: send it again")
    hi = np.full(len(rows), letter.position.hi, dtype=np.int64)
    lo = np.full(len(rows), letter.position.lo, dtype=np.int64)
    return TableChanges(letter.table, letter.partition, rows.table, rows.ops, hi, lo)
