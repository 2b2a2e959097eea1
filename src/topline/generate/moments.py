"""When sales happen: along the rhythm of a business day, on the stream's own clock."""

from bisect import bisect
from datetime import UTC, date, datetime, time, timedelta
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from topline.generate.world import between

# Weight of each hour of a day, local time: shut at night, a peak before noon and one after work.
_HOURS = (1, 1, 1, 1, 1, 2, 4, 12, 30, 55, 75, 85, 60, 45, 50, 65, 75, 90, 95, 70, 30, 14, 6, 2)
_BOUNDS = tuple(accumulate(_HOURS))
_WEEKDAYS = (0.9, 0.85, 0.9, 1.0, 1.2, 1.4, 0.5)


class Moments:
    """Instants (aware, in the business zone, whole seconds) around `start`, drawn from `random`."""

    def __init__(self, start: datetime, zone: str, days: int, random: Random) -> None:
        self._zone = ZoneInfo(zone)
        self._utc = start.astimezone(UTC)  # adding seconds to a local time would stumble over summer time
        self._start = start.astimezone(self._zone)
        self._dates = [self._start.date() - timedelta(days=back) for back in range(1, days + 1)]
        self._days = list(accumulate(_WEEKDAYS[day.weekday()] for day in self._dates))
        self._random = random

    def now(self, at: float) -> datetime:
        """The stream's clock, `at` seconds after its start."""
        return (self._utc + timedelta(seconds=at)).astimezone(self._zone).replace(microsecond=0)

    def today(self, at: float) -> datetime:
        """A moment of the running day up to now, by the rhythm of the hours gone by."""
        now = self.now(at)
        hour = bisect(_BOUNDS, self._random.random() * _BOUNDS[now.hour])
        found = self._on(now.date(), hour)
        return found if found <= now else now

    def past(self) -> datetime:
        """A moment of one of the `days` days before the start, few of them on Sundays."""
        day = self._dates[bisect(self._days, self._random.random() * self._days[-1])]
        return self._on(day, bisect(_BOUNDS, self._random.random() * _BOUNDS[-1]))

    def tie_day(self, number: int) -> date:
        """A quiet day before all history, where ties stay ties. The shop has the even numbers below 20, the branches have the
        odd ones, the partner those from 20 on."""
        return self._dates[-1] - timedelta(days=2 + number)

    def noon(self, day: date) -> datetime:
        return datetime.combine(day, time(12), self._zone)

    def _on(self, day: date, hour: int) -> datetime:
        minute, second = divmod(between(self._random, 0, 3599), 60)
        return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=self._zone)
