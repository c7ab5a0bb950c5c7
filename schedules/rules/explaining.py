"""Why a cron expression does not match a moment, and what it makes of a change of the clock, in sentences.

Made from the values that were read, as `wording` does. Nothing here knows of runs or of edits; `explaining`
asks, for a moment on the schedule's own clock.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from schedules.rules import cron
from schedules.rules.cron import CronExpression
from schedules.rules.cron.clock import EPOCH, Gap, Repeat, stretches, zone
from schedules.rules.timing import CronTiming

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_COLUMNS = ("minute", "hour", "day of month", "month", "day of week")
_MOST_LISTED = 8
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the fields that match, and a sentence for each that does not (without a full stop)."""

    matching: tuple[str, ...]
    failing: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """ "minute and hour match, but day of week 1-5 is Monday to Friday and 2026-11-21 is a Saturday"."""
        failing = "; ".join(self.failing)
        if not self.matching or not failing:
            return failing
        return f"{_joined(self.matching)} match{'es' * (len(self.matching) == 1)}, but {failing}"


def compare_fields(timing: CronTiming, wall: datetime) -> Fields:
    """`wall` is what the clock of the schedule's zone shows, without a zone."""
    plan = cron.parse(timing.expression, timing.dialect, seed=timing.seed)
    written = _written(plan)
    wrong: list[tuple[tuple[str, ...], str]] = [
        ((name,), _wrong_value(name, written.get(name, ""), value, values))
        for name, value, values in (
            ("second", wall.second, plan.seconds),
            ("minute", wall.minute, plan.minutes),
            ("hour", wall.hour, plan.hours),
            ("month", wall.month, plan.months),
        )
        if value not in values
    ]
    wrong += _wrong_days(plan, wall.date(), written)
    failing = {name for names, _ in wrong for name in names}
    restricted = [name for name, text in written.items() if text not in ("*", "?")]
    return Fields(
        tuple(name for name in restricted if name not in failing), tuple(sentence for _, sentence in wrong)
    )


def _written(plan: CronExpression) -> dict[str, str]:
    """The text of each field; empty for a macro, which has none."""
    words = plan.text.split()
    names = ("second", *_COLUMNS) if len(words) == len(_COLUMNS) + 1 else _COLUMNS
    return dict(zip(names, words, strict=True)) if len(words) == len(names) else {}


def _wrong_value(name: str, written: str, value: int, values: Sequence[int]) -> str:
    if name == "second" and not written:
        return f"a start is at second 0 of a minute, not at second {value}"
    shown = _month if name == "month" else str
    return f"{name} is {_meaning(written, values, shown)}, not {shown(value)}"


def _wrong_days(
    plan: CronExpression, day: date, written: dict[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The fields that fail together, and the sentence."""
    by_date, by_weekday = _days(plan, day)
    if (by_date and by_weekday) or (plan.either_day and (by_date or by_weekday)):
        return
    named, numbered = _WEEKDAYS[day.isoweekday() % 7], _ordinal(day.day)
    dates = "day of month is " + _meaning(written.get("day of month", ""), plan.days, str)
    weekdays = "day of week is " + _meaning(
        written.get("day of week", ""), _monday_first(plan.weekdays), _weekday
    )
    if plan.either_day:
        yield (
            ("day of month", "day of week"),
            f"{dates}, {weekdays}, and {day} is a {named}, the {numbered}; because both day "
            "fields are restricted, either would be enough",
        )
        return
    if not by_date:
        yield ("day of month",), f"{dates} and {day} is the {numbered}"
    if not by_weekday:
        yield ("day of week",), f"{weekdays} and {day} is a {named}"


def _days(plan: CronExpression, day: date) -> tuple[bool, bool]:
    """Whether the day matches by its date, and by its weekday."""
    length = monthrange(day.year, day.month)[1]
    weekday = day.isoweekday() % 7
    day_zero = (weekday - day.day) % 7
    dates, weekdays = (
        any(rule.mask(length, day_zero) >> day.day & 1 for rule in rules)
        for rules in (plan.date_rules, plan.weekday_rules)
    )
    return dates or day.day in plan.days, weekdays or weekday in plan.weekdays


def _meaning(written: str, values: Sequence[int], name: Callable[[int], str]) -> str:
    """ "1-5 (Monday to Friday)"; what the calendar decides, such as L, stays as it is written."""
    listed = _listed(values, name)
    if not written or not listed or listed == written:
        return written or listed
    return f"{written} ({listed})"


def _month(number: int) -> str:
    return _MONTHS[number - 1]


def _weekday(from_monday: int) -> str:
    return _WEEKDAYS[(from_monday + 1) % 7]


def _monday_first(weekdays: Sequence[int]) -> list[int]:
    return sorted((weekday - 1) % 7 for weekday in weekdays)


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A clock that skips (`is_gap`) or repeats the asked moment.

    `at` is the instant of the change, `before` and `after` are what the clock shows on its two sides.
    """

    is_gap: bool
    at: datetime
    before: datetime
    after: datetime


def clock_change(timezone: str, wall: datetime) -> ClockChange | None:
    """The change that makes the wall time missing or ambiguous in the zone; None: it is neither."""
    early, late = (wall.replace(tzinfo=zone(timezone), fold=fold).utcoffset() for fold in (0, 1))
    if early is None or late is None or early == late:
        return None
    second = int(((wall - min(early, late)).replace(tzinfo=UTC) - EPOCH).total_seconds())
    near = stretches(timezone, second - _DAY_SECONDS, second + 1)
    changed = max(stretch.begins_at for stretch in near if stretch.begins_at <= second)
    at = EPOCH + timedelta(seconds=changed)
    local = at.replace(tzinfo=None)
    return ClockChange(early < late, at, local + early, local + late)


def stands_for_gap(timing: CronTiming, change: ClockChange) -> bool:
    """Whether a start at the end of the gap makes up for what was skipped, and is not due there anyway."""
    if timing.gap:
        return timing.gap == Gap.RUN
    return not _is_wildcard(timing) or bool(compare_fields(timing, change.after).failing)


def say_clock_change(
    timing: CronTiming, change: ClockChange, wall: datetime, *, runs_after: bool
) -> list[str]:
    """What the clock does, and what this schedule makes of it. `runs_after`: it starts where the gap ends."""
    if change.is_gap:
        does = (
            f"{wall:%H:%M} does not exist on {wall:%Y-%m-%d} in {timing.timezone}: the clocks go forward "
            f"from {change.before:%H:%M} to {change.after:%H:%M}"
        )
        return [does, _in_gap(timing, change, runs_after=runs_after)]
    does = (
        f"{wall:%H:%M} is shown twice on {wall:%Y-%m-%d} in {timing.timezone}: the clocks go back "
        f"from {change.before:%H:%M} to {change.after:%H:%M}"
    )
    return [does, _in_repeat(timing)]


def _in_gap(timing: CronTiming, change: ClockChange, *, runs_after: bool) -> str:
    end = f"once, at the end of the gap, at {change.after:%H:%M}"
    if timing.gap == Gap.SKIP:
        return "the schedule is set to leave out times that the clock skips"
    if timing.gap == Gap.RUN:
        return f"the schedule is set to run what the clock skips {end}"
    if _is_wildcard(timing):
        return "its minute or hour begins with *, so it follows real time: nothing is made up for"
    if runs_after:
        return f"its minute and hour are fixed, so what the clock skips runs {end}"
    return "its minute and hour are fixed, but the clock jumps too far: nothing is made up for"


def _in_repeat(timing: CronTiming) -> str:
    if timing.repeat == Repeat.FIRST:
        return "the schedule is set to run once where the clock shows a time twice: the first time"
    if timing.repeat == Repeat.BOTH:
        return "the schedule is set to run both times where the clock shows a time twice"
    if _is_wildcard(timing):
        return "its minute or hour begins with *, so it follows real time: it runs both times"
    return "its minute and hour are fixed, so it runs the first time only"


def _is_wildcard(timing: CronTiming) -> bool:
    return cron.parse(timing.expression, timing.dialect, seed=timing.seed).is_wildcard


def _listed(values: Sequence[int], name: Callable[[int], str]) -> str:
    """ "0, 20 and 40", "Monday to Friday"; long lists are cut."""
    parts: list[str] = []
    for first, last in _runs(values):
        if last - first >= 2:
            parts.append(f"{name(first)} to {name(last)}")
        else:
            parts += [name(value) for value in range(first, last + 1)]
    if len(parts) > _MOST_LISTED:
        return f"{', '.join(parts[: _MOST_LISTED - 2])}, … {parts[-1]}"
    return _joined(parts)


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs


def _joined(parts: Sequence[str]) -> str:
    return "".join(parts) if len(parts) < 2 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _ordinal(number: int) -> str:
    if number in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
