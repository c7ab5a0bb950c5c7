"""All minutes in which cron's daemon would start a line: the independent side of the equivalence report.

A set of minutes is one `int`: bit k stands for minute k of a `Window`. A year of minutes is 66 KB, and
two such sets are compared, counted and intersected in microseconds. Where the daemon starts a line
several times, or late because of a gap, there is one bit, at the end of the gap.

Nothing of `cron` and its modules is used here: the fields are read in `daemon.line`, what becomes of
clock changes is in `daemon.clock`. Pure. Called by `proving`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from schedules.rules.daemon.clock import DAY, Spell, spells
from schedules.rules.daemon.line import Entry, read

__all__ = ["Entry", "Window", "minute_of", "minutes_of", "read", "starts"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
_BYTES_OF_A_DAY = DAY // 8
# A wall clock is never a day and a half away from UTC, nor does a gap or a repeat reach as far.
_MARGIN = 3


@dataclass(frozen=True, slots=True)
class Window:
    """`minutes` whole minutes from `start` on, an aware time at a full minute."""

    start: datetime
    minutes: int

    @classmethod
    def of_years(cls, moment: datetime, years: int) -> "Window":
        """From the minute of `moment` on, to the same date `years` later (29 February: to 1 March)."""
        start = moment.astimezone(UTC).replace(second=0, microsecond=0)
        try:
            end = start.replace(year=start.year + years)
        except ValueError:
            end = start.replace(year=start.year + years, month=3, day=1)
        return cls(start, (end - start) // _MINUTE)

    @property
    def end(self) -> datetime:
        return self.start + self.minutes * _MINUTE

    @property
    def first(self) -> int:
        """The first minute, counted from 1970 UTC."""
        return minute_of(self.start)

    @property
    def last(self) -> int:
        """One past the last minute, counted from 1970 UTC."""
        return self.first + self.minutes

    def instant(self, bit: int) -> datetime:
        return self.start + bit * _MINUTE


def minute_of(moment: datetime) -> int:
    """The minute in which it lies, counted from 1970 UTC."""
    return (moment - _EPOCH) // _MINUTE


def starts(entry: Entry, zone: str, window: Window) -> int:
    """The minutes of the window in which the daemon, running in that zone, starts the line.

    Raises TimingError for an unknown zone. A line for boots is never due by the clock.
    """
    first_day = window.first // DAY - _MARGIN
    wall = _wall_minutes(entry, first_day, window.last // DAY + _MARGIN)
    found = 0
    for spell in spells(zone, window.first, window.last):
        if spell.wildcard if entry.is_wildcard else spell.fixed:
            found |= _of_spell(spell, wall >> (spell.minute - first_day * DAY)) << (spell.at - window.first)
    return found


def minutes_of(found: int) -> Iterator[int]:
    """The bits that are set, from the first on."""
    digits = f"{found:b}"[::-1]
    bit = digits.find("1")
    while bit >= 0:
        yield bit
        bit = digits.find("1", bit + 1)


def _of_spell(spell: Spell, due: int) -> int:
    due &= (1 << spell.count) - 1
    return int(due != 0) if spell.at_once else due


def _wall_minutes(entry: Entry, first_day: int, end_day: int) -> int:
    """Bit k: the line matches minute k of the wall clock since the midnight that begins `first_day`."""
    time = sum(entry.minute << 60 * hour for hour in range(24) if entry.hour >> hour & 1)
    matching = time.to_bytes(_BYTES_OF_A_DAY, "little")
    other = bytes(_BYTES_OF_A_DAY)
    days = _matching_days(entry, _calendar(first_day, end_day))
    chosen = (matching if days >> day & 1 else other for day in range(end_day - first_day))
    return int.from_bytes(b"".join(chosen), "little")


@dataclass(frozen=True, slots=True)
class _Calendar:
    """For each date (1-31), month (1-12) and weekday (0-6, from Sunday): its days, bit n for the n-th."""

    dates: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]


@lru_cache(maxsize=16)
def _calendar(first_day: int, end_day: int) -> _Calendar:
    dates, months, weekdays = [0] * 32, [0] * 13, [0] * 7
    for count, number in enumerate(range(first_day, end_day)):
        day = date.fromordinal(number + _EPOCH.toordinal())
        dates[day.day] |= 1 << count
        months[day.month] |= 1 << count
        weekdays[day.isoweekday() % 7] |= 1 << count
    return _Calendar(tuple(dates), tuple(months), tuple(weekdays))


def _matching_days(entry: Entry, calendar: _Calendar) -> int:
    by_date = _union(entry.day, calendar.dates)
    by_weekday = _union(entry.weekday, calendar.weekdays)
    days = by_date & by_weekday if entry.both_days else by_date | by_weekday
    return days & _union(entry.month, calendar.months)


def _union(values: int, days: tuple[int, ...]) -> int:
    found = 0
    for value, some in enumerate(days):
        if values >> value & 1:
            found |= some
    return found
