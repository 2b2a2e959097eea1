"""What a file says of itself at its beginning: a byte-order mark, how its lines end, and Excel's `sep=;`."""

import re
from dataclasses import dataclass

from topline.sources.files.coding import Coding, Recoded, Source, byte_order_mark
from topline.sources.files.content import BrokenContent
from topline.sources.files.settings import FileTable

_SIZE = 1 << 16
_SEP = re.compile(rb'"?sep=([^\r\n"]{1,4})"?[ \t]*(?:\r\n|\n|\r|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Opening:
    """`mark`: the byte-order mark; `lead`: the line `sep=;` (as records are found in); both are no records.

    `delimiter`: what that line says, '' without one. `header`: the record that named the fields, where it was looked for.
    """

    coding: Coding
    mark: bytes = b""
    lead: bytes = b""
    delimiter: str = ""
    header: bytes = b""

    @classmethod
    def of(cls, data: bytes, settings: FileTable, *, whole: bool) -> "Opening":
        """`data`: the first bytes of a file; `whole`: all of them."""
        mark, marked = byte_order_mark(data)
        coding = Coding(marked or settings.encoding)
        if coding.unsaid or settings.format != "csv":
            return cls(coding, mark)
        text = data[len(mark) :]
        text = _recoded(text if whole else text[: len(text) // 4 * 4], coding)  # no character is cut
        coding = Coding(coding.name, returns=_ends_in_returns(text, whole=whole))
        lead = _SEP.match(text)
        if lead is None:
            return cls(coding, mark)
        return cls(coding, mark, _recoded(lead[0], Coding(returns=coding.returns)), lead[1].decode(coding.inner, "replace"))

    def stream(self, source: Source, begun: bytes) -> Recoded:
        """The records' bytes; `begun`: what was read of the source."""
        return Recoded(source, begun[len(self.mark) :], self.coding, len(self.lead))

    @property
    def own(self) -> bytes:
        """The file's own bytes before its first record."""
        return self.mark + self.coding.original(self.lead)


def beginning(source: Source) -> tuple[bytes, bool]:
    """The first bytes of a file, and whether they are all. What does not unpack any more, a later read says again."""
    pieces: list[bytes] = []
    missing = _SIZE
    try:
        while missing > 0:
            piece = source.read(missing)
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            missing -= len(piece)
    except BrokenContent:
        pass
    return b"".join(pieces), False


def _recoded(data: bytes, coding: Coding) -> bytes:
    if coding.wide:
        data = data.decode(coding.name, "topline.mark").encode("utf-8", "surrogatepass")
    return coding.exchanged(data)


def _ends_in_returns(text: bytes, *, whole: bool) -> bool:
    """As on an old Mac: CR, and no LF at all. A CR at the very end of what is seen may have its LF behind it."""
    return b"\n" not in text and b"\r" in (text if whole else text[:-1])
