"""A piece of a file cut into lines, and questions about all its lines at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from topline.changes import Ints

Octets = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

NEWLINE, RETURN = 10, 13


@dataclass(frozen=True, slots=True)
class Lines:
    """Byte i of line j lies in data[starts[j]:ends[j]] (without its line feed)."""

    data: bytes
    octets: Octets
    starts: Ints
    ends: Ints

    @classmethod
    def of(cls, data: bytes) -> "Lines":
        octets = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(octets == NEWLINE).astype(np.int64)
        if data and not data.endswith(b"\n"):
            ends = np.append(ends, len(data))
        starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64) if len(ends) else ends
        return cls(data, octets, starts, ends)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> Ints:
        return self.ends - self.starts

    def none(self) -> Mask:
        return np.zeros(len(self.ends), dtype=bool)

    def places(self, octet: int) -> Ints:
        return np.flatnonzero(self.octets == octet).astype(np.int64)

    def line_of(self, places: Ints) -> Ints:
        return np.searchsorted(self.ends, places)

    def per_line(self, places: Ints) -> Ints:
        """How many of `places` (increasing) lie on each line."""
        return np.searchsorted(places, self.ends) - np.searchsorted(places, self.starts)

    def holding(self, places: Ints) -> Mask:
        mask = self.none()
        mask[self.line_of(places)] = True
        return mask

    def holding_any(self, octets: list[int]) -> Mask:
        mask = self.none()
        for octet in octets:
            if octet in self.data:
                mask |= self.holding(self.places(octet))
        return mask

    def holding_above(self, octet: int) -> Mask:
        return self.holding(np.flatnonzero(self.octets > octet).astype(np.int64))

    def blank(self) -> Mask:
        blank: Mask = self.lengths == 0
        single = np.flatnonzero(self.lengths == 1)
        blank[single] = self.octets[self.starts[single]] == RETURN
        return blank

    def beginning_with(self, text: bytes) -> Mask:
        mask: Mask = self.lengths >= len(text)
        for offset, octet in enumerate(text):
            places = np.flatnonzero(mask)
            mask[places] = self.octets[self.starts[places] + offset] == octet
        return mask

    def equal_to(self, text: bytes) -> Mask:
        """Lines that are `text`, their CR not counted."""
        lengths = self.lengths
        longer = np.flatnonzero(lengths == len(text) + 1)
        lengths[longer] -= self.octets[self.ends[longer] - 1] == RETURN
        mask: Mask = lengths == len(text)
        if mask.any():
            mask[mask] = self.only(mask).beginning_with(text)
        return mask

    def only(self, chosen: Mask | Ints) -> "Lines":
        return Lines(self.data, self.octets, self.starts[chosen], self.ends[chosen])

    def joined(self, chosen: Ints, behind: Sequence[bytes] = ()) -> bytes:
        """Some lines, each with a line feed; `behind`: what to put between a line and its line end, a text for each."""
        if len(chosen) == len(self.ends) and not behind:
            return self.data if self.data.endswith(b"\n") else self.data + b"\n"
        if not behind:
            return self._runs(chosen)
        pairs = zip(self.starts[chosen].tolist(), self.ends[chosen].tolist(), strict=True)
        lines = [self.data[start:end] for start, end in pairs]
        return b"".join([line.removesuffix(b"\r") + more + b"\n" for line, more in zip(lines, behind, strict=True)])

    def _runs(self, chosen: Ints) -> bytes:
        """The same without anything put in: lines that lie one after the other are taken at once."""
        starts, ends = self.starts[chosen], self.ends[chosen]
        gaps = np.flatnonzero(starts[1:] != ends[:-1] + 1)
        first, last = starts[np.append(0, gaps + 1)].tolist(), ends[np.append(gaps, len(ends) - 1)].tolist()
        return b"\n".join([*(self.data[start:end] for start, end in zip(first, last, strict=True)), b""])
