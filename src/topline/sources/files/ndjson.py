"""NDJSON: one JSON object a line."""

from dataclasses import replace

import numpy as np

from topline.sources.files.lines import Lines
from topline.sources.files.objects import ObjectParser
from topline.sources.files.record import Parsed
from topline.sources.files.shape import FileShape

_SPACE = 32


class NdjsonParser:
    """Parses the lines of one file; blank ones are skipped."""

    def __init__(self, shape: FileShape) -> None:
        self._objects = ObjectParser(shape)

    def parse(self, data: bytes, line: int, final: bool) -> Parsed:  # noqa: ARG002 - a line is whole
        lines = Lines.of(data)
        blank = lines.blank()
        for place in np.flatnonzero(~blank & (lines.octets[lines.starts] <= _SPACE) if data else blank).tolist():
            blank[place] = not data[lines.starts[place] : lines.ends[place]].strip()
        places = np.flatnonzero(~blank)
        records = lines.only(places)

        def raw(place: int) -> bytes:
            return data[records.starts[place] : records.ends[place] + 1]

        parsed = self._objects.parse(records, places + line, raw)
        return replace(parsed, consumed=len(data), line_count=len(lines))
