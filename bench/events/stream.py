"""Which sale each event is about, what happens to it, and the how-manieth version of it that is."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bench.events.content import DAYS, Fields, fields

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Kind(IntEnum):
    """What an event is. LATE: a new sale of a day that is past; REDELIVERED: a row again as it is."""

    NEW = 0
    LATE = 1
    UPDATE = 2
    DELETE = 3
    REDELIVERED = 4
    BROKEN = 5


MIX = {Kind.LATE: 0.05, Kind.UPDATE: 0.08, Kind.DELETE: 0.02, Kind.REDELIVERED: 0.04, Kind.BROKEN: 0.01}
"""Shares of the change events; the rest are new sales."""


@dataclass(frozen=True)
class Stream:
    """Sales 0 to `load` - 1 come first, in bulk; then the events, in order.

    `sale` and `version` of each event: its content follows from the two. `late`: by sale. `doomed`: sales that are deleted,
    all of the first load and never touched before.
    """

    load: int
    kind: npt.NDArray[np.int8]
    sale: Ints
    version: Ints
    late: Flags
    doomed: Ints

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def sales(self) -> int:
        """Ever sold or broken: ids are below."""
        return len(self.late)

    @cached_property
    def versions(self) -> Ints:
        """The last version of each sale."""
        last = np.zeros(self.sales, np.int64)
        np.maximum.at(last, self.sale, self.version)
        return last

    @cached_property
    def standing(self) -> Ints:
        """The sales that count at the end."""
        counts = np.ones(self.sales, np.bool_)
        counts[self.doomed] = False
        counts[self.sale[self.kind == Kind.BROKEN]] = False
        return np.flatnonzero(counts)

    def round(self, number: int, of: int) -> Ints:
        """The events, by number, of one of `of` rounds that are as long as each other."""
        return np.arange(len(self) * number // of, len(self) * (number + 1) // of, dtype=np.int64)

    def fields(self, sale: Ints, version: Ints) -> Fields:
        return fields(sale, version, self.late[sale], per_day=max(self.load // DAYS, 1))

    def first(self, begin: int, end: int) -> Fields:
        """Of the first load, in the order of their sale."""
        sale = np.arange(begin, min(end, self.load))
        return self.fields(sale, np.zeros(len(sale), np.int64))

    def last(self) -> Fields:
        """What counts at the end."""
        return self.fields(self.standing, self.versions[self.standing])


def make(load: int, events: int, seed: int = 1) -> Stream:
    """`events` change events after `load` sales, in the shares of MIX exactly (to the event)."""
    random = np.random.default_rng(seed)
    kind = _kinds(events, random)
    fresh = np.isin(kind, (Kind.NEW, Kind.LATE, Kind.BROKEN))
    sale = load + np.cumsum(fresh) - 1
    late = np.zeros(load + int(fresh.sum()), np.bool_)
    late[sale[kind == Kind.LATE]] = True
    doomed = random.choice(load, int((kind == Kind.DELETE).sum()), replace=False)
    sale[kind == Kind.DELETE] = doomed
    again = np.flatnonzero((kind == Kind.UPDATE) | (kind == Kind.REDELIVERED))
    sale[again] = _known(load, sale, kind, doomed, again, random)
    version = np.zeros(events, np.int64)
    version[again] = _versions(sale[again], kind[again] == Kind.UPDATE)
    return Stream(load, kind, sale, version, late, doomed)


def _kinds(events: int, random: np.random.Generator) -> npt.NDArray[np.int8]:
    kind = np.full(events, Kind.NEW, np.int8)
    begin = 0
    for which, share in MIX.items():
        count = round(events * share)
        kind[begin : begin + count] = which
        begin += count
    return random.permutation(kind)


def _known(load: int, sale: Ints, kind: npt.NDArray[np.int8], doomed: Ints, again: Ints, random: np.random.Generator) -> Ints:
    """A sound sale for each event of `again`, any of those that are known by then."""
    sound = np.ones(load, np.bool_)
    sound[doomed] = False
    new = (kind == Kind.NEW) | (kind == Kind.LATE)
    candidates = np.concatenate([np.flatnonzero(sound), sale[new]])
    known = int(sound.sum()) + np.cumsum(new)[again]
    chosen: Ints = candidates[(random.random(len(again)) * known).astype(np.int64)]
    return chosen


def _versions(sale: Ints, update: Flags) -> Ints:
    """How often each sale was updated up to each of these events, itself included."""
    order = np.argsort(sale, kind="stable")
    running = np.cumsum(update[order])
    begins = np.r_[True, sale[order][1:] != sale[order][:-1]]
    before = np.maximum.accumulate(np.where(begins, running - update[order], 0))
    versions = np.empty(len(sale), np.int64)
    versions[order] = running - before
    return versions
