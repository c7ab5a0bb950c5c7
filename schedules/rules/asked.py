"""The moment that somebody asks about, as typed: `read`. On the clock of a zone, unless it names an offset.

2026-11-21 02:30     2026-11-21T02:30:15     2026-11-21T01:30Z     2026-11-21     02:30 (today)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from schedules.errors import TimingError

_MINUTE, _SECOND = timedelta(minutes=1), timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
_TIME_ONLY = re.compile(r"\d{1,2}:\d{2}(:\d{2})?", re.ASCII)
_YEARS = range(1971, 2200)


@dataclass(frozen=True, slots=True)
class Asked:
    """Every instant of `at` <= t < `until` is meant: as long as what was left out when it was typed.

    `wall` is the same on the zone's clock. A time that the clock skips stands for the end of the gap.
    """

    at: datetime
    until: datetime
    wall: datetime
    is_local: bool


def read(text: str, zone: ZoneInfo, *, now: datetime) -> Asked:
    """Raises TimingError for what is no time, or too far away for a calendar."""
    given = _parsed(text.strip(), zone, now)
    if given.year not in _YEARS:
        raise TimingError(f"The year {given.year} is too far away. Ask about {_YEARS[0]} to {_YEARS[-1]}.")
    length = _TICK if given.microsecond else _SECOND if given.second else _MINUTE
    if given.tzinfo is not None:
        at = given.astimezone(UTC)
        return Asked(at, at + length, at.astimezone(zone).replace(tzinfo=None), is_local=False)
    at = given.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) != given:
        at = _end_of_gap(at, zone)
    return Asked(at, at + length, given, is_local=True)


def at_instant(at: datetime, zone: ZoneInfo) -> Asked:
    """An instant that a program names."""
    return Asked(at, at + _TICK, at.astimezone(zone).replace(tzinfo=None), is_local=False)


def _parsed(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    if _TIME_ONLY.fullmatch(text):
        text = f"{now.astimezone(zone):%Y-%m-%d} {text:0>5}"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise TimingError(
            f'"{text[:60]}" is not a time. Give one such as 2026-01-31T02:30 (in the zone of the schedule), '
            "2026-01-31T01:30Z, or 02:30 for today."
        ) from None


def _end_of_gap(beyond: datetime, zone: ZoneInfo) -> datetime:
    """The instant of the change, at most a day before `beyond`."""
    offset = beyond.astimezone(zone).utcoffset()
    low, high = beyond - timedelta(days=1), beyond
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high.replace(microsecond=0)
