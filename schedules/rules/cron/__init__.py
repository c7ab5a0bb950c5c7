"""Cron expressions to instants, exactly as the named dialect's daemon would start them.

Public: `parse`, `fire_times`, `next_fire`, and `fire_days` for many instants at once. Pure: the clock
is never read. The words of an expression are read in `cron.reading`; what the daemon makes of a clock
change is in `cron.clock`. Preview, import, beat and explain all ask this module, through `timing`
where the schedule may have another kind of timing.

`gap` and `repeat` say what becomes of times that a clock change skips or shows twice: "" as the
dialect does, or a value of `Gap` or `Repeat`. `seed` chooses what an expression leaves open (`H`, `~`).
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from schedules.errors import CronError, InvalidSchedule
from schedules.rules.cron.clock import (
    EPOCH,
    MINUTE,
    Gap,
    Repeat,
    Stretch,
    gap_named,
    repeat_named,
    stretches,
    zone,
)
from schedules.rules.cron.expression import CronExpression, Dialect
from schedules.rules.cron.reading import dialect_named, read_expression

__all__ = [
    "CronError",
    "CronExpression",
    "Dialect",
    "fire_days",
    "fire_times",
    "next_fire",
    "parse",
]

_DAY = 86_400  # in seconds
# 29 February on a given weekday is the rarest date: it can be 40 years away (over 2100).
_HORIZON = 60 * 366 * _DAY
_SEEDED = (Dialect.CRONIE, Dialect.EXTENDED)


def fire_times(
    expression: str,
    timezone: str,
    start: datetime,
    end: datetime,
    dialect: str = "cron",
    *,
    gap: str = "",
    repeat: str = "",
    seed: str = "",
) -> Iterator[datetime]:
    """Every instant of `start <= t < end`, aware UTC, strictly increasing.

    Where cron starts a job of fixed time several times, or spreads the starts over the minutes
    after a gap, there is one instant, at the end of the gap. Raises CronError, TimingError
    (unknown zone) or InvalidSchedule (unknown dialect or policy, naive moment) at the call.
    """
    plan = parse(expression, dialect, seed=seed)
    days = fire_days(expression, timezone, start, end, dialect, gap=gap, repeat=repeat, seed=seed)
    return _instants(plan, days)


def next_fire(
    expression: str,
    timezone: str,
    after: datetime,
    dialect: str = "cron",
    *,
    gap: str = "",
    repeat: str = "",
    seed: str = "",
) -> datetime | None:
    """The first instant strictly after `after`, aware UTC; None if it never fires.

    Raises as `fire_times` does.
    """
    plan = parse(expression, dialect, seed=seed)
    policies = gap_named(gap), repeat_named(repeat)
    start = _second_after(after)
    if plan.never_fires:
        zone(timezone)
        return None
    horizon = start + _HORIZON
    for midnight, times in _days(plan, timezone, _skip_idle_days(plan, start, horizon), horizon, *policies):
        return EPOCH + timedelta(0, midnight + times[0])
    return None


def fire_days(
    expression: str,
    timezone: str,
    start: datetime,
    end: datetime,
    dialect: str = "cron",
    *,
    gap: str = "",
    repeat: str = "",
    seed: str = "",
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The instants of `fire_times`, a day at a time: (midnight, seconds after it, never empty).

    `midnight` is the POSIX second at which the local day begins, or would begin under the UTC offset
    that holds at these instants; midnight + second is the POSIX second of a start. A day on which the
    offset changes comes in parts. Where days are cut depends on the zone and the window alone, never
    on the expression, so two expressions of one zone fire alike if and only if their days are equal.
    Full days of one expression share one tuple: a year of `* * * * *` costs 365 steps, not 525,600. Raises as
    `fire_times` does.
    """
    plan = parse(expression, dialect, seed=seed)
    policies = gap_named(gap), repeat_named(repeat)
    zone(timezone)
    return _days(plan, timezone, _second_from(start, "start"), _second_from(end, "end"), *policies)


def parse(expression: str, dialect: str = "cron", *, seed: str = "") -> CronExpression:
    """Read an expression; raises CronError where the dialect refuses it. Cached."""
    return _parse(expression, dialect, seed if dialect in _SEEDED else "")


@lru_cache(maxsize=16_384)
def _parse(expression: str, dialect: str, seed: str) -> CronExpression:
    return read_expression(expression, dialect_named(dialect), seed)


def _instants(plan: CronExpression, days: Iterator[tuple[int, tuple[int, ...]]]) -> Iterator[datetime]:
    for midnight, times in days:
        whole = times is plan.times
        steps = plan.times_after_midnight if whole else (timedelta(0, second) for second in times)
        yield from map((EPOCH + timedelta(0, midnight)).__add__, steps)


def _days(
    plan: CronExpression,
    timezone: str,
    start: int,
    stop: int,
    gap: Gap | None,
    repeat: Repeat | None,
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """As `fire_days`, for the POSIX seconds of [start, stop)."""
    if start >= stop or plan.never_fires:
        return
    for stretch in stretches(timezone, start, stop):
        offset = stretch.offset
        begin = max(start, stretch.begins_at) + offset
        end = min(stop, stretch.ends_at) + offset
        runs_from = stretch.runs_from(repeat, is_wildcard=plan.is_wildcard)
        held = MINUTE * runs_from if runs_from > stretch.first_minute else begin
        days = _local_days(plan, max(begin, held), end)
        late = MINUTE * stretch.first_minute
        if begin <= late < end and _makes_up(plan, stretch, gap):
            days = _with_one_more(days, late)
        for day, times in days:
            yield day * _DAY - offset, times


def _local_days(plan: CronExpression, begin: int, end: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The matching days of the local seconds [begin, end), each with its matching seconds."""
    if begin >= end:
        return
    first_day, last_day = begin // _DAY, (end - 1) // _DAY
    for day in plan.days_between(first_day, last_day):
        times = plan.times
        if day == last_day:
            times = times[: bisect_left(times, end - day * _DAY)]
        if day == first_day:
            times = times[bisect_left(times, begin - day * _DAY) :]
        if times:
            yield day, times


def _with_one_more(
    days: Iterator[tuple[int, tuple[int, ...]]], second: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """The days, with a start at that local second of their first day or of one before it."""
    day, after_midnight = divmod(second, _DAY)
    following = next(days, None)
    if following is not None and following[0] == day:
        yield day, tuple(sorted({after_midnight, *following[1]}))
    else:
        yield day, (after_midnight,)
        if following is not None:
            yield following
    yield from days


def _makes_up(plan: CronExpression, stretch: Stretch, gap: Gap | None) -> bool:
    """True if a minute before the stretch is made up for at its beginning."""
    return any(map(plan.matches, stretch.made_up_for(gap, is_wildcard=plan.is_wildcard)))


def _skip_idle_days(plan: CronExpression, start: int, horizon: int) -> int:
    """A later second to begin at, where years may pass without a matching date.

    A local day begins at most a day before the UTC day of the same date, and a missed minute is
    made up for after it, never before.
    """
    if len(plan.months) == 12:
        return start
    days = plan.days_between(start // _DAY - 1, horizon // _DAY)
    return max(start, (next(days, 0) - 1) * _DAY)


def _second_from(moment: datetime, name: str) -> int:
    """The first whole POSIX second at or after the moment."""
    seconds, rest = _seconds(moment, name)
    return seconds + (rest > 0)


def _second_after(moment: datetime) -> int:
    """The first whole POSIX second strictly after the moment."""
    return _seconds(moment, "after")[0] + 1


def _seconds(moment: datetime, name: str) -> tuple[int, int]:
    if moment.tzinfo is None:
        raise InvalidSchedule(
            f'"{name}" is {moment.isoformat()} without a time zone, so it names no instant; '
            "give an aware datetime, such as datetime.now(UTC)"
        )
    since = moment - EPOCH
    return since.days * _DAY + since.seconds, since.microseconds
