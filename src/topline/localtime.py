"""Local times as instants, by one rule everywhere, which is that of PostgreSQL's and DuckDB's `AT TIME ZONE`.

Of a time that the clocks show twice the later instant is meant; of one that they leave out, the one with the offset before.
Both are the smaller of the two offsets that are possible there.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_Ints = npt.NDArray[np.int64]
_EPOCH = datetime(1970, 1, 1)
_DAY = 86_400_000_000  # microseconds
_LIMIT = 2**63 - 1  # an infinite time, or its negative
_CYCLE = 146_097  # days after which calendar and week repeat; so do the rules of a zone after its last change
_FIRST, _LAST = ((date(year, 1, 1) - date(1970, 1, 1)).days for year in (2, 9990))


def offset_of(local: datetime, zone: tzinfo) -> timedelta:
    """What `zone` is ahead of UTC at this local time (without a zone)."""
    return min(local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta() for fold in (0, 1))


def instant_of(local: datetime, zone: tzinfo) -> datetime:
    """In UTC. OverflowError where that lies outside the years 1 to 9999."""
    return (local - offset_of(local, zone)).replace(tzinfo=UTC)


def instants(times: pa.Array, zone: tzinfo) -> pa.Array:
    """`timestamp[us]` as `timestamp[us, UTC]`, over the whole range; infinite times stay.

    Not by Arrow, whose zones end in 2037. A day on which the offset does not change is looked up once.
    """
    units = times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    finite = np.abs(units) < _LIMIT - _DAY
    offsets = _offsets(np.where(finite, units, 0), zone)
    moved = np.where(finite, units - offsets, np.where(units > 0, _LIMIT, -_LIMIT))
    known = times.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(moved, pa.int64(), mask=~known).view(pa.timestamp("us", tz="UTC"))


def _offsets(units: _Ints, zone: tzinfo) -> _Ints:
    """Microseconds ahead of UTC, one a time."""
    days, which = np.unique(units // _DAY, return_inverse=True)
    alike = _in_reach(days)
    starts, ends = ([_micros(day, 0, zone) for day in (alike + more).tolist()] for more in (0, 1))
    offsets = np.array(starts, np.int64)[which]
    changing = np.flatnonzero((np.array(starts) != np.array(ends))[which])
    if len(changing):
        values, places = np.unique(units[changing], return_inverse=True)
        at = zip(_in_reach(values // _DAY).tolist(), (values % _DAY).tolist(), strict=True)
        exact = [_micros(day, rest, zone) for day, rest in at]
        offsets[changing] = np.array(exact, np.int64)[places]
    return offsets


def _in_reach(days: _Ints) -> _Ints:
    """Days that Python has, on which the zone is as it is on these: before zones it never changes, later it repeats."""
    late = np.maximum(-((_LAST - days) // _CYCLE), 0)
    reached: _Ints = np.maximum(days - late * _CYCLE, _FIRST)
    return reached


def _micros(day: int, rest: int, zone: tzinfo) -> int:
    local = datetime.combine(_EPOCH + timedelta(days=day), time()) + timedelta(microseconds=rest)
    return offset_of(local, zone) // timedelta(microseconds=1)
