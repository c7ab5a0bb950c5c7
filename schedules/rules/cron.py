"""Cron expressions to instants, exactly as the named dialect's daemon would start them.

Public: `parse`, `fire_times`, `next_fire`. Pure: the clock is never read. The words of an
expression are read in `cron_expression`; what the daemon makes of a clock change is in
`cron_clock`. Preview, import, beat and explain all ask this module, through `timing` where the
schedule may have another kind of timing.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache

from schedules.errors import CronError, InvalidSchedule
from schedules.rules.cron_clock import EPOCH, MINUTE, Stretch, stretches, zone
from schedules.rules.cron_expression import (
    CronExpression,
    Dialect,
    dialect_named,
    read_expression,
)

__all__ = ["CronError", "CronExpression", "Dialect", "fire_times", "next_fire", "parse"]

DAY = 24 * 60  # in minutes
_DAY_SECONDS = DAY * MINUTE
# 29 February on a given weekday is the rarest date: it can be 40 years away (over 2100).
_HORIZON = 60 * 366 * _DAY_SECONDS


def fire_times(
    expression: str, timezone: str, start: datetime, end: datetime, dialect: str = "cron"
) -> Iterator[datetime]:
    """Every instant of `start <= t < end`, aware UTC, strictly increasing.

    Where cron starts a job of fixed time several times, or spreads the starts over the minutes
    after a gap, there is one instant, at the end of the gap. Raises CronError, TimingError
    (unknown zone) or InvalidSchedule (unknown dialect, naive moment) at the call.
    """
    plan = parse(expression, dialect)
    zone(timezone)
    return _instants(plan, timezone, _second_from(start, "start"), _second_from(end, "end"))


def next_fire(expression: str, timezone: str, after: datetime, dialect: str = "cron") -> datetime | None:
    """The first instant strictly after `after`, aware UTC; None if it never fires.

    Raises as `fire_times` does.
    """
    plan = parse(expression, dialect)
    start = _second_after(after)
    if plan.never_fires:
        zone(timezone)
        return None
    horizon = start + _HORIZON
    return next(_instants(plan, timezone, _skip_idle_days(plan, start, horizon), horizon), None)


def parse(expression: str, dialect: str = "cron") -> CronExpression:
    """Read an expression; raises CronError where the dialect refuses it. Cached."""
    return _parse(expression, dialect)


@lru_cache(maxsize=16_384)
def _parse(expression: str, dialect: str) -> CronExpression:
    return read_expression(expression, dialect_named(dialect))


def _instants(plan: CronExpression, timezone: str, start: int, stop: int) -> Iterator[datetime]:
    if start >= stop or plan.never_fires:
        return
    for stretch in stretches(timezone, start, stop):
        begin, end = max(start, stretch.begins_at), min(stop, stretch.ends_at)
        first = stretch.minute_from(begin)
        if stretch.missed and first == stretch.first_minute and _makes_up(plan, stretch):
            yield EPOCH + timedelta(seconds=stretch.second_of(first))
        if not plan.is_wildcard:
            first = max(first, stretch.fixed_from)
        yield from _in_stretch(plan, stretch.offset, first, stretch.minute_from(end))


def _skip_idle_days(plan: CronExpression, start: int, horizon: int) -> int:
    """A later second to begin at, where years may pass without a matching date.

    A local day begins at most a day before the UTC day of the same date, and a missed minute is
    made up for after it, never before.
    """
    if len(plan.months) == 12:
        return start
    days = plan.days_between(start // _DAY_SECONDS - 1, horizon // _DAY_SECONDS)
    return max(start, (next(days, 0) - 1) * _DAY_SECONDS)


def _makes_up(plan: CronExpression, stretch: Stretch) -> bool:
    """True if a missed minute is made up for by a start of its own, at the end of the gap."""
    if plan.is_wildcard and not stretch.missed_by_all:
        return False
    if plan.matches(stretch.first_minute):
        return False
    return any(plan.matches(minute) for minute in stretch.missed)


def _in_stretch(plan: CronExpression, offset: int, first: int, stop: int) -> Iterator[datetime]:
    """Matching local minutes of [first, stop) under one offset, as instants."""
    if first >= stop:
        return
    first_day, last_day = first // DAY, (stop - 1) // DAY
    for day in plan.days_between(first_day, last_day):
        midnight = EPOCH + timedelta(seconds=day * _DAY_SECONDS - offset)
        begin = bisect_left(plan.times, first - day * DAY) if day == first_day else 0
        end = bisect_left(plan.times, stop - day * DAY) if day == last_day else None
        yield from map(midnight.__add__, plan.times_after_midnight[begin:end])


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
    return since.days * _DAY_SECONDS + since.seconds, since.microseconds
