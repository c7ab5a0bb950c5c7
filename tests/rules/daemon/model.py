"""Cron's main loop, minute by minute: the slow, obvious answer that the engine is compared with.

Written from the daemon's behaviour and on purpose unlike the engine: it knows neither stretches nor
masks, only a wall clock that is read every minute and fields that are tried value by value. It reads
well-formed fields only (numbers, names, lists, ranges, steps).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_NAMES = {
    name: str(number)
    for names in (
        "sun mon tue wed thu fri sat",
        "- jan feb mar apr may jun jul aug sep oct nov dec",
    )
    for number, name in enumerate(names.split())
}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time has no zone
_WARM_UP = timedelta(hours=4)


@dataclass(frozen=True)
class WallMinute:
    """One minute of the wall clock, counted from 1970, and what a calendar says of it."""

    count: int
    parts: tuple[int, int, int, int, int]


def firings(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The instants of [start, end) at which the daemon starts the job; each instant once."""
    job = Job(expression)
    started: list[datetime] = []
    done: int | None = None
    for instant, wall in _readings(zone, start - _WARM_UP, end):
        wakes_for, done = _wake(job, wall.count, wall.count - 1 if done is None else done)
        if wakes_for and instant >= start:
            started.append(instant)
    return started


def _wake(job: "Job", now: int, done: int) -> tuple[bool, int]:
    """What the daemon does at wall minute `now`, having dealt with `done`: (starts it?, done)."""
    late = now - done
    if late == 1:
        return job.matches(now), now
    if 1 < late <= 5:
        return any(job.matches(minute) for minute in range(done + 1, now + 1)), now
    if 5 < late <= 180:
        if job.wildcard:
            return job.matches(now), now
        return any(job.matches(minute) for minute in range(done + 1, now + 1)), now
    if -180 < late <= 0:
        return job.wildcard and job.matches(now), done
    return job.matches(now), now


@lru_cache(maxsize=64)
def _window(zone: str, start: datetime, end: datetime) -> tuple[tuple[datetime, WallMinute], ...]:
    tz, minutes = ZoneInfo(zone), []
    instant = start
    while instant < end:
        wall = instant.astimezone(tz).replace(tzinfo=None)
        minutes.append((instant, _wall_minute((wall - _EPOCH) // timedelta(minutes=1))))
        instant += timedelta(minutes=1)
    return tuple(minutes)


def _readings(zone: str, start: datetime, end: datetime) -> Iterator[tuple[datetime, WallMinute]]:
    return iter(_window(zone, start.astimezone(UTC), end.astimezone(UTC)))


@lru_cache(maxsize=200_000)
def _wall_minute(count: int) -> WallMinute:
    wall = _EPOCH + timedelta(minutes=count)
    weekday = wall.isoweekday() % 7
    return WallMinute(count, (wall.minute, wall.hour, wall.day, wall.month, weekday))


class Job:
    """A crontab line's five fields, tried value by value."""

    def __init__(self, expression: str) -> None:
        fields = expression.split()
        self._allowed = [
            {value for value in range(low, high + 1) if _allows(field, value, low, high)}
            for field, (low, high) in zip(fields, _BOUNDS, strict=True)
        ]
        if 7 in self._allowed[4]:
            self._allowed[4].add(0)
        self._both_days = fields[2][0] == "*" or fields[4][0] == "*"
        self.wildcard = fields[0][0] == "*" or fields[1][0] == "*"

    def matches(self, count: int) -> bool:
        minute, hour, day, month, weekday = (
            value in allowed for value, allowed in zip(_wall_minute(count).parts, self._allowed, strict=True)
        )
        right_day = (day and weekday) if self._both_days else (day or weekday)
        return minute and hour and month and right_day


def _allows(field: str, value: int, low: int, high: int) -> bool:
    for element in field.lower().split(","):
        span, _, step = element.partition("/")
        first, dash, last = span.partition("-")
        begin = low if first == "*" else int(_NAMES.get(first, first))
        end = high if first == "*" else int(_NAMES.get(last, last)) if dash else begin
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False
