"""A cron expression once read: which minutes of the day, which days, and what cron thinks of it.

Reading is here (`read_expression`); the two grammars of a single field are in `cron_fields` and
`cron_celery`. Instants, zones and clock changes are not: `cron` searches, `cron_clock` knows the
zone. Called by `cron.parse`, which caches.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property

from schedules.errors import CronError, InvalidSchedule
from schedules.rules.cron_celery import read_celery_field
from schedules.rules.cron_fields import FIELD_KINDS, Field, Word, read_field

MAX_LENGTH = 256
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LAST_DAY = date.max.toordinal() - _EPOCH_ORDINAL
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NOTHING = "matches nothing"
_WORD = re.compile(r"[^ \t]+")


class Dialect(StrEnum):
    """Whose rules an expression follows. Never guessed."""

    CRON = "cron"
    CELERY = "celery"


@dataclass(frozen=True)
class CronExpression:
    """One expression, read. Values are sorted; an empty tuple matches nothing.

    `weekdays` counts from 0 = Sunday. `either_day` is cron's OR: a day matches by its date or by
    its weekday; otherwise it must match by both. `is_wildcard` is cron's test for jobs that follow
    real time over a clock change. `notes` are sentences about text that has no effect.
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
        """Minutes of the day (0-1439) that match, sorted."""
        return tuple(60 * hour + minute for hour in self.hours for minute in self.minutes)

    @cached_property
    def times_after_midnight(self) -> tuple[timedelta, ...]:
        """The same as `times`, ready to be added to a midnight."""
        return tuple(timedelta(minutes=minute) for minute in self.times)

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
        """True if the local minute, counted from 1970-01-01 00:00, matches all fields."""
        day, minute_of_day = divmod(minute, 1440)
        return minute_of_day in self._time_set and day in self.days_between(day, day)

    @cached_property
    def _time_set(self) -> frozenset[int]:
        return frozenset(self.times)

    def _days_of_month(self, month_began: int, length: int, first: int, last: int) -> Iterator[int]:
        """Matching days of a month whose day 0 is `month_began`, cut to `first` to `last`.

        Bit n of a mask stands for day n of the month.
        """
        by_weekday = self._weekday_masks[(month_began + _EPOCH_ORDINAL) % 7]
        mask = self._date_mask | by_weekday if self.either_day else self._date_mask & by_weekday
        lowest, highest = max(first - month_began, 1), min(last - month_began, length)
        mask = (mask & ((2 << highest) - 1)) >> lowest << lowest
        while mask:
            yield month_began + (mask & -mask).bit_length() - 1
            mask &= mask - 1

    @cached_property
    def _date_mask(self) -> int:
        return sum(1 << day for day in self.days)

    @cached_property
    def _weekday_masks(self) -> tuple[int, ...]:
        """For each weekday of a month's day 0: the mask of the days that match by weekday."""
        return tuple(
            sum(1 << day for day in range(1, 32) if (begin + day) % 7 in self.weekdays) for begin in range(7)
        )

    def _reason_for_empty(self, name: str) -> str:
        reasons = [note for note in self.notes if note.startswith(name) and note.endswith(_NOTHING)]
        return "; ".join(reasons) or f"no {name} matches"

    def _why_no_day(self) -> str:
        longest = max(_LONGEST_MONTHS[month - 1] for month in self.months)
        a_date_occurs = any(day <= longest for day in self.days)
        if self.either_day:
            if a_date_occurs or self.weekdays:
                return ""
        elif a_date_occurs and self.weekdays:
            return ""
        if self.days and not a_date_occurs:
            return _never_occurs(self.days, self.months)
        return self._reason_for_empty("day")


def read_expression(text: str, dialect: Dialect) -> CronExpression:
    """Read five fields or a macro; raises CronError where the dialect refuses them."""
    if len(text) > MAX_LENGTH:
        raise _whole(text[:40] + "...", f"it is longer than {MAX_LENGTH} characters")
    if dialect is Dialect.CRON and text.strip(" \t").startswith("@"):
        return _read_macro(text, dialect)
    return _read_five(text, text, dialect)


def _read_macro(text: str, dialect: Dialect) -> CronExpression:
    name = text.strip(" \t")
    if name == "@reboot":
        reason = "@reboot is not a time of the clock; it is a timing of its own (once per boot)"
        raise _whole(text, reason)
    if name not in MACROS:
        reason = f"{name} is not one of {', '.join(MACROS)} (small letters, nothing after it)"
        raise _whole(text, reason)
    return _read_five(text, MACROS[name], dialect)


def _read_five(text: str, expanded: str, dialect: Dialect) -> CronExpression:
    words = [Word(found[0], found.start(), text) for found in _WORD.finditer(expanded)]
    if "\n" in text:
        raise _whole(text, "it holds a line break; an expression is one line")
    if len(words) != len(FIELD_KINDS):
        wanted = "minute, hour, day of month, month, day of week"
        raise _whole(text, f"it has {len(words)} fields and needs five ({wanted})")
    read = read_celery_field if dialect is Dialect.CELERY else read_field
    fields = [read(word, kind) for word, kind in zip(words, FIELD_KINDS, strict=True)]
    return _assemble(text, dialect, fields)


def _assemble(text: str, dialect: Dialect, fields: list[Field]) -> CronExpression:
    minute, hour, day, month, weekday = fields
    return CronExpression(
        text=text,
        dialect=dialect,
        minutes=minute.values,
        hours=hour.values,
        days=day.values,
        months=month.values,
        weekdays=tuple(sorted({value % 7 for value in weekday.values})),
        is_wildcard=minute.starred or hour.starred,
        either_day=dialect is Dialect.CRON and not (day.starred or weekday.starred),
        notes=tuple(_notes(fields)),
    )


def _notes(fields: list[Field]) -> Iterator[str]:
    for kind, field in zip(FIELD_KINDS, fields, strict=True):
        for written in field.reversed_ranges:
            yield f"{kind.name} range {written} is reversed, so it {_NOTHING}"
        if field.ignored:
            yield f'{kind.name}: cron ignores "{field.ignored}"'


def _never_occurs(days: tuple[int, ...], months: tuple[int, ...]) -> str:
    listed = ", ".join(str(day) for day in days)
    subject = f"day {listed} does" if len(days) == 1 else f"days {listed} do"
    return f"{subject} not occur in {' or '.join(_MONTH_NAMES[month - 1] for month in months)}"


def _month_length(year: int, month: int) -> int:
    if month == 2 and (year % 4 or (year % 100 == 0 and year % 400)):
        return 28
    return _LONGEST_MONTHS[month - 1]


def _whole(text: str, reason: str) -> CronError:
    return CronError(text, field="", position=0, reason=reason)


def dialect_named(name: str) -> Dialect:
    """The dialect of that name; raises InvalidSchedule and lists the known ones."""
    try:
        return Dialect(name)
    except ValueError:
        known = ", ".join(Dialect)
        raise InvalidSchedule(f'cron dialect "{name}" is not known; known are: {known}') from None
