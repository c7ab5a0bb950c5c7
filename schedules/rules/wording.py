"""Timings in plain English, for pages, commands and reports: `describe(timing)`.

The words say what the engine does, so they are made from the values that were read, never from the
text. Nothing reads these words back. The zone is left out: pages show it in a place of its own.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from schedules.rules import cron
from schedules.rules.cron import CronExpression
from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    Timing,
    WindowTiming,
)

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_HOUR_STEPS = {2: "second", 3: "third", 4: "fourth", 6: "sixth", 8: "eighth", 12: "twelfth"}
# More clock times than this read better as minutes and hours.
_MOST_TIMES = 4


def describe(timing: Timing) -> str:
    """A phrase such as "at 02:30 every day", "every 90 seconds" or "by hand only"."""
    match timing:
        case CronTiming(expression, _, dialect):
            return describe_expression(cron.parse(expression, dialect))
        case IntervalTiming(every):
            return _interval(every)
        case MomentTiming(at):
            return f"once at {_moment(at)}"
        case BootTiming():
            return "when the worker's host boots"
        case NoTiming():
            return "by hand only"
        case WindowTiming(inner, not_before, not_after):
            begin = f", from {_moment(not_before)}" if not_before else ""
            end = f", until {_moment(not_after)}" if not_after else ""
            return describe(inner) + begin + end


def describe_expression(expression: CronExpression) -> str:
    """A phrase for one cron expression; "never: ..." with the reason where it never fires."""
    if expression.never_fires:
        return f"never: {expression.why_never}"
    days = _days(expression)
    if len(expression.times) <= _MOST_TIMES:
        times = [f"{minute // 60:02}:{minute % 60:02}" for minute in expression.times]
        return f"at {_joined(times)} {days or 'every day'}"
    frequent = f"{_minutes(expression.minutes)} {_hours(expression)}".rstrip()
    return f"{frequent} {days}".rstrip()


def _minutes(minutes: tuple[int, ...]) -> str:
    step = _step_from_zero(minutes, 60)
    if step:
        return "every minute" if step == 1 else f"every {step} minutes"
    stride = minutes[1] - minutes[0] if len(minutes) > _MOST_TIMES else 0
    if stride > 1 and minutes == tuple(range(minutes[0], minutes[-1] + 1, stride)):
        return f"at every {_ordinal(stride)} minute from {minutes[0]} to {minutes[-1]}"
    return f"at minute{'s' * (len(minutes) > 1)} {_listed(minutes)}"


def _hours(expression: CronExpression) -> str:
    hours, every_few_minutes = expression.hours, _step_from_zero(expression.minutes, 60)
    step = _step_from_zero(hours, 24)
    if step == 1:
        return "" if every_few_minutes else "of every hour"
    if step:
        return f"of every {_HOUR_STEPS[step]} hour from midnight"
    if every_few_minutes:
        return _joined([f"from {first:02}:00 to {last:02}:59" for first, last in _runs(hours)])
    return f"of hour{'s' * (len(hours) > 1)} {_listed(hours)}"


def _days(expression: CronExpression) -> str:
    """Which days, with the months; "" where that is every day of the year."""
    every_month = len(expression.months) == 12
    months = _joined([_MONTHS[month - 1] for month in expression.months])
    dates = _dates(expression.days, "the month" if every_month else months)
    weekdays = _weekdays(expression.weekdays) + ("" if every_month else f" in {months}")
    every_date, every_weekday = len(expression.days) == 31, len(expression.weekdays) == 7
    if expression.either_day and not (every_date or every_weekday):
        either = ((expression.days, dates), (expression.weekdays, weekdays))
        return " or ".join(phrase for values, phrase in either if values)
    if expression.either_day or (every_date and every_weekday):
        return "" if every_month else f"every day in {months}"
    if every_date:
        return weekdays
    if every_weekday:
        return dates
    named = [f"{_WEEKDAYS[weekday]}s" for weekday in _monday_first(expression.weekdays)]
    return f"{dates} that are {_joined(named, 'or')}"


def _dates(days: tuple[int, ...], months: str) -> str:
    if days == tuple(range(1, 32, 2)):
        return f"on odd days of {months}"
    if days == tuple(range(2, 32, 2)):
        return f"on even days of {months}"
    return f"on the {_listed(days, _ordinal)} of {months}"


def _weekdays(weekdays: tuple[int, ...]) -> str:
    from_monday = [(weekday - 1) % 7 for weekday in _monday_first(weekdays)]
    return f"on {_listed(from_monday, lambda day: _WEEKDAYS[(day + 1) % 7])}"


def _monday_first(weekdays: tuple[int, ...]) -> list[int]:
    return sorted(weekdays, key=lambda weekday: (weekday - 1) % 7)


def _step_from_zero(values: tuple[int, ...], size: int) -> int:
    """The n of "every n" where the values are 0, n, 2n, ... all round the clock; otherwise 0."""
    step = size // len(values)
    regular = len(values) > 1 and size % step == 0 and values == tuple(range(0, size, step))
    return step if regular else 0


def _listed(values: Sequence[int], name: Callable[[int], str] = str) -> str:
    """Values in words; three or more in a row become "first to last"."""
    parts: list[str] = []
    for first, last in _runs(values):
        if last - first >= 2:
            parts.append(f"{name(first)} to {name(last)}")
        else:
            parts.extend(name(value) for value in range(first, last + 1))
    return _joined(parts)


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs


def _joined(parts: Sequence[str], word: str = "and") -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def _ordinal(number: int) -> str:
    if number in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _interval(every: timedelta) -> str:
    seconds = every.total_seconds()
    for unit, length in _UNITS:
        if seconds % length == 0:
            count = int(seconds // length)
            return f"every {unit}" if count == 1 else f"every {count} {unit}s"
    return f"every {seconds:g} seconds"


def _moment(moment: datetime) -> str:
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment.second else f"{moment:%Y-%m-%d %H:%M} UTC"
