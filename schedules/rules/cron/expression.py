"""A cron expression once read: which times of the day, which days, and what cron thinks of it.

A value without text handling: `cron.reading` makes it. Instants, zones and clock changes are not
here either: `cron` searches, `cron.clock` knows the zone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache

from schedules.rules.cron.days import DateRule, WeekdayRule

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH_ORDINAL
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
NOTHING = "matches nothing"
"""How a note ends that explains why a field matches no value."""


class Dialect(StrEnum):
    """Whose rules an expression follows. Never guessed. docs/cron-dialects.md tells them apart."""

    CRON = "cron"  # Debian's
    CRONIE = "cronie"  # of Red Hat, Fedora, Arch
    CELERY = "celery"
    EXTENDED = "extended"


@dataclass(frozen=True)
class CronExpression:
    """One expression, read. Values are sorted; an empty tuple matches nothing.

    `weekdays` counts from 0 = Sunday. The rules add days that depend on the month. `either_day` is
    cron's OR: a day matches by its date or by its weekday; otherwise it must match by both.
    `is_wildcard` is cron's test for jobs that follow real time over a clock change. `notes` are
    sentences about text that has no effect, `choices` about values that the seed chose.
    """

    text: str
    dialect: Dialect
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    is_wildcard: bool
    either_day: bool
    notes: tuple[str, ...] = ()
    seconds: tuple[int, ...] = (0,)
    date_rules: tuple[DateRule, ...] = ()
    weekday_rules: tuple[WeekdayRule, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def is_seeded(self) -> bool:
        """True where another seed may give other instants."""
        return bool(self.choices)

    @property
    def never_fires(self) -> bool:
        """Valid, but no date and time will ever match."""
        return bool(self.why_never)

    @cached_property
    def why_never(self) -> str:
        """Why this expression never fires, as a sentence without a full stop; "" if it fires."""
        for name, values in (
            ("minute", self.minutes),
            ("hour", self.hours),
            ("month", self.months),
        ):
            if not values:
                return self._reason_for_empty(name)
        return self._why_no_day()

    @cached_property
    def times(self) -> tuple[int, ...]:
        """Seconds of the day (0-86399) that match, sorted."""
        return _times(tuple(self.hours), tuple(self.minutes), tuple(self.seconds))

    @cached_property
    def times_after_midnight(self) -> tuple[timedelta, ...]:
        """The same as `times`, ready to be added to a midnight."""
        return tuple(timedelta(0, second) for second in self.times)

    @cached_property
    def every_day(self) -> bool:
        """True where no day of any month is left out."""
        every_date, every_weekday = len(self.days) == 31, len(self.weekdays) == 7
        if len(self.months) < 12:
            return False
        if self.either_day:
            return every_date or every_weekday
        return every_date and every_weekday

    def days_between(self, first: int, last: int) -> Iterator[int]:
        """Matching days of `first` to `last`, both included, as days since 1970-01-01."""
        last = min(last, _LAST_DAY)
        if self.every_day:
            yield from range(first, last + 1)
            return
        begin = date.fromordinal(first + _EPOCH_ORDINAL)
        year, month, month_began = begin.year, begin.month, first - begin.day
        while month_began < last:
            length = _month_length(year, month)
            if month in self.months:
                yield from self._days_of_month(month_began, length, first, last)
            month_began += length
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)

    def matches(self, minute: int) -> bool:
        """True if the local minute, counted from 1970-01-01 00:00, matches all fields but seconds."""
        day, minute_of_day = divmod(minute, 1440)
        hour, minute = divmod(minute_of_day, 60)
        return minute in self.minutes and hour in self.hours and day in self.days_between(day, day)

    def _days_of_month(self, month_began: int, length: int, first: int, last: int) -> Iterator[int]:
        """Matching days of a month whose day 0 is `month_began`, cut to `first` to `last`."""
        mask = self._month_mask(length, (month_began + _EPOCH_ORDINAL) % 7)
        lowest, highest = max(first - month_began, 1), min(last - month_began, length)
        mask = (mask & ((2 << highest) - 1)) >> lowest << lowest
        while mask:
            yield month_began + (mask & -mask).bit_length() - 1
            mask &= mask - 1

    def _month_mask(self, length: int, day_zero: int) -> int:
        """The matching days of a month of that length; bit n stands for day n.

        `day_zero` is the weekday of the day before the first. Months differ in no other way.
        """
        known = self._month_masks.get((length, day_zero))
        if known is None:
            by_date, by_weekday = self._date_mask, self._weekday_masks[day_zero]
            for rule in self.date_rules:
                by_date |= rule.mask(length, day_zero)
            for weekday_rule in self.weekday_rules:
                by_weekday |= weekday_rule.mask(length, day_zero)
            known = by_date | by_weekday if self.either_day else by_date & by_weekday
            self._month_masks[length, day_zero] = known
        return known

    @cached_property
    def _month_masks(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def _date_mask(self) -> int:
        return sum(1 << day for day in self.days)

    @cached_property
    def _weekday_masks(self) -> tuple[int, ...]:
        """For each weekday of a month's day 0: the mask of the days that match by weekday."""
        return tuple(
            sum(1 << day for day in range(1, 32) if (begin + day) % 7 in self.weekdays) for begin in range(7)
        )

    def _why_no_day(self) -> str:
        if any(self._occurs_in(month) for month in self.months):
            return ""
        if self.days and not self.date_rules:
            longest = max(_LONGEST_MONTHS[month - 1] for month in self.months)
            if not any(day <= longest for day in self.days):
                return _never_occurs(self.days, self.months)
        return self._reason_for_empty("day")

    def _occurs_in(self, month: int) -> bool:
        """True if some year has a matching day in that month: its day 0 can be any weekday."""
        length = _LONGEST_MONTHS[month - 1]
        shortest = length - (month == 2)
        return any(
            self._month_mask(days, day_zero) & ((2 << days) - 2)
            for days in range(shortest, length + 1)
            for day_zero in range(7)
        )

    def _reason_for_empty(self, name: str) -> str:
        reasons = [note for note in self.notes if note.startswith(name) and note.endswith(NOTHING)]
        return "; ".join(reasons) or f"no {name} matches"


def _never_occurs(days: tuple[int, ...], months: tuple[int, ...]) -> str:
    listed = ", ".join(str(day) for day in days)
    subject = f"day {listed} does" if len(days) == 1 else f"days {listed} do"
    return f"{subject} not occur in {' or '.join(_MONTH_NAMES[month - 1] for month in months)}"


def _month_length(year: int, month: int) -> int:
    if month == 2 and (year % 4 or (year % 100 == 0 and year % 400)):
        return 28
    return _LONGEST_MONTHS[month - 1]


@lru_cache(maxsize=1024)
def _times(hours: tuple[int, ...], minutes: tuple[int, ...], seconds: tuple[int, ...]) -> tuple[int, ...]:
    """Shared by expressions that differ in days only: for "* *" they are 1,440."""
    return tuple(
        3600 * hour + 60 * minute + second for hour in hours for minute in minutes for second in seconds
    )
