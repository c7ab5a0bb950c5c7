"""When in a minute a crontab may be edited so that nobody can say who runs which minute. Pure.

Debian's cron and cronie wake up at second 1 of each minute, load what has changed, then start the
minute's jobs. So an edit in the middle of a minute holds from the next minute on, and this minute's
jobs have been started. Within three hours of a change of the clock they make up for minutes, or hold
them back, and a minute may be dealt with late.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from schedules.errors import TimingError
from schedules.rules.cron.clock import zone

FIRST_SECOND, LAST_SECOND = 10, 40
"""An edit may begin from the first second on and before the last: cron may be late, and so may we."""

DEADLINE, LAST_CHANCE = 50, 57
"""Seconds of the minute: until the first a step may still be taken, until the second taken back."""

NEAR_A_CHANGE = timedelta(hours=3)
_STEP = timedelta(minutes=15)


def seconds_to_wait(now: datetime) -> float:
    """Until an edit may begin; 0 where it may begin now."""
    second = now.second + now.microsecond / 1_000_000
    if FIRST_SECOND <= second < LAST_SECOND:
        return 0
    return (FIRST_SECOND - second) % 60


def next_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + timedelta(minutes=1)


def is_in_time(now: datetime, effective_at: datetime, *, deadline: int = DEADLINE) -> bool:
    """True while a step of the edit that holds from `effective_at`, a full minute, on may be taken."""
    return now < effective_at - timedelta(seconds=60 - deadline)


def clock_change_near(timezone: str, now: datetime) -> bool:
    """True where the zone's clock changes within three hours before or after `now`.

    A zone that is not known changes nothing.
    """
    try:
        place = zone(timezone)
    except TimingError:
        return False
    here = now.astimezone(place).utcoffset()
    steps = int(NEAR_A_CHANGE / _STEP)
    return any(
        (now + count * _STEP).astimezone(place).utcoffset() != here for count in range(-steps, steps + 1)
    )
