"""Timings in plain English, for pages, commands and reports: `describe(timing)`.

The words say what the engine does, so they are made from the values that were read, never from the
text. Nothing reads these words back. The zone is left out: pages show it in a place of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from schedules.rules import cron
from schedules.rules.cron import CronExpression
from schedules.rules.cron.clock import Gap, Repeat
from schedules.rules.cron.days import (
    DateRule,
    FromTheEnd,
    LastWeekday,
    NearestWorkingDay,
    NthWeekday,
    WeekdayRule,
)
from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    SolarTiming,
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
_NUMBERED = ("", "first", "second", "third", "fourth", "fifth")
_GAPS: Mapping[str, str] = {Gap.SKIP: "skipped times are left out", Gap.RUN: "skipped times run right after"}
_REPEATS: Mapping[str, str] = {
    Repeat.FIRST: "repeated times run once",
    Repeat.BOTH: "repeated times run twice",
}
SOLAR: Mapping[str, str] = {
    "dawn_astronomical": "astronomical dawn",
    "dawn_nautical": "nautical dawn",
    "dawn_civil": "civil dawn",
    "sunrise": "sunrise",
    "solar_noon": "solar noon",
    "sunset": "sunset",
    "dusk_civil": "civil dusk",
    "dusk_nautical": "nautical dusk",
    "dusk_astronomical": "astronomical dusk",
}
# More clock times than this read better as minutes and hours.
_MOST_TIMES = 4


def describe(timing: Timing) -> str:
    """A phrase such as "at 02:30 every day", "every 90 seconds" or "by hand only"."""
    match timing:
        case CronTiming(expression, _, dialect, gap, repeat, seed):
            words = describe_expression(cron.parse(expression, dialect, seed=seed))
            return words + describe_policies(gap, repeat)
        case IntervalTiming(every):
            return _interval(every)
        case MomentTiming(at):
            return f"once at {_moment(at)}"
        case SolarTiming(event, latitude, longitude):
            return f"at {SOLAR[event]}, {place(latitude, longitude)}"
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
        times = [_clock(second) for second in expression.times]
        return f"at {_joined(times)} {days or 'every day'}"
    frequent = f"{_within_the_hour(expression)} {_hours(expression)}".rstrip()
    return f"{frequent} {days}".rstrip()


def describe_policies(gap: str, repeat: str) -> str:
    """What a person chose for changes of the clock, to be put after a phrase; "" for the dialect's own."""
    chosen = [words for words in (_GAPS.get(gap), _REPEATS.get(repeat)) if words]
    return f"; when the clocks change, {_joined(chosen)}" if chosen else ""


def place(latitude: float, longitude: float) -> str:
    """Such as "52.52° N 13.405° E"."""
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{degrees(abs(latitude))}° {north} {degrees(abs(longitude))}° {east}"


def degrees(value: float) -> str:
    """Without zeros at the end; six decimals are what django-celery-beat stores."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _clock(second: int) -> str:
    """A second of the day as a clock shows it; seconds only where there are some."""
    minute, second = divmod(second, 60)
    return f"{minute // 60:02}:{minute % 60:02}" + (f":{second:02}" if second else "")


def _within_the_hour(expression: CronExpression) -> str:
    minutes = _sixtieths(expression.minutes, "minute")
    if expression.seconds == (0,):
        return minutes
    seconds = _sixtieths(expression.seconds, "second")
    if len(expression.minutes) < 60:
        return f"{seconds}, {minutes}"
    return seconds if seconds.startswith("every") else f"{seconds} of every minute"


def _sixtieths(values: tuple[int, ...], unit: str) -> str:
    step = _step_from_zero(values, 60)
    if step:
        return f"every {unit}" if step == 1 else f"every {step} {unit}s"
    stride = values[1] - values[0] if len(values) > _MOST_TIMES else 0
    if stride > 1 and values == tuple(range(values[0], values[-1] + 1, stride)):
        return f"at every {_ordinal(stride)} {unit} from {values[0]} to {values[-1]}"
    return f"at {unit}{'s' * (len(values) > 1)} {_listed(values)}"


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
    dates = _dates(expression, "the month" if every_month else months)
    weekdays = f"on {_weekdays(expression)}" + ("" if every_month else f" in {months}")
    if every_month and expression.weekday_rules:
        weekdays += " of the month"
    every_date, every_weekday = len(expression.days) == 31, len(expression.weekdays) == 7
    if expression.either_day and not (every_date or every_weekday):
        either = (
            (expression.days or expression.date_rules, dates),
            (expression.weekdays or expression.weekday_rules, weekdays),
        )
        return " or ".join(phrase for values, phrase in either if values)
    if expression.either_day or (every_date and every_weekday):
        return "" if every_month else f"every day in {months}"
    if every_date:
        return weekdays
    if every_weekday:
        return dates
    named = [f"{_WEEKDAYS[weekday]}s" for weekday in _monday_first(expression.weekdays)]
    named += [_weekday_rule(rule) for rule in expression.weekday_rules]
    return f"{dates} that are {_joined(named, 'or')}"


def _dates(expression: CronExpression, months: str) -> str:
    days = expression.days
    if days == tuple(range(1, 32, 2)):
        return f"on odd days of {months}"
    if days == tuple(range(2, 32, 2)):
        return f"on even days of {months}"
    named = [f"the {_listed(days, _ordinal)}"] if days else []
    named += [_date_rule(rule) for rule in expression.date_rules]
    return f"on {_joined(named)} of {months}"


def _date_rule(rule: DateRule) -> str:
    match rule:
        case FromTheEnd(before):
            return f"the last day but {before}" if before else "the last day"
        case NearestWorkingDay(FromTheEnd(0)):
            return "the last working day"
        case NearestWorkingDay(target):
            day = _ordinal(target) if isinstance(target, int) else f"last but {target.days_before}"
            return f"the working day nearest to the {day}"


def _weekdays(expression: CronExpression) -> str:
    from_monday = [(weekday - 1) % 7 for weekday in _monday_first(expression.weekdays)]
    named = [_listed(from_monday, lambda day: _WEEKDAYS[(day + 1) % 7])] if from_monday else []
    return _joined([*named, *(_weekday_rule(rule) for rule in expression.weekday_rules)])


def _weekday_rule(rule: WeekdayRule) -> str:
    match rule:
        case NthWeekday(weekday, number):
            return f"the {_NUMBERED[number]} {_WEEKDAYS[weekday]}"
        case LastWeekday(weekday):
            return f"the last {_WEEKDAYS[weekday]}"


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
