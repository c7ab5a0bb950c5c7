"""Local time as cron's daemon sees it: stretches of equal UTC offset, and what it does between them.

The daemon counts wall-clock minutes. When the count does not go up by one it does this (cron
3.0pl1; `late` is how far the wall clock stands beyond the last minute that was dealt with):

    1 to 5 minutes       every minute is run, late or not
    6 minutes to 3 hours  jobs of fixed time are made up for; jobs with a wildcard just go on
    0 back to -179        jobs of fixed time wait until the clock is past where it already was
    anything else         it starts afresh; nothing is made up for

A person may choose otherwise: `Gap` and `Repeat`. Nothing here knows of expressions; `cron` asks.
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from schedules.errors import InvalidSchedule, TimingError

MINUTE = 60
_SMALL_JUMP = 5
_LARGE_JUMP = 180
# Zones are looked at in stretches of about 388 days. Two changes of one zone have always been at
# least six days apart since 1970, so a look every five days misses none.
_CHUNK = 2**25
_STRIDE = 5 * 86_400
# A repeated hour that straddles two chunks is remembered by beginning each chunk a day early.
_RUN_IN = 86_400
_NO_ZONE = re.compile(r"(?:localtime|posixrules|Factory)\Z|(?:right|posix)/")
"""What lies beside the zones in their directory: copies, links, and zones that count leap seconds."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = int((datetime(2, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())
_LATEST = int((datetime(9998, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())


class Gap(StrEnum):
    """What becomes of times that the clock skips, whatever the expression looks like.

    Chosen by a person, it holds for every skipped time of every jump, however far.
    """

    SKIP = "skip"
    RUN = "run"  # once, at the end of the gap; not where the job is due there anyway


class Repeat(StrEnum):
    """What becomes of times that the clock shows twice, whatever the expression looks like.

    Chosen by a person, it holds for every time that is shown again, however far the clock goes back.
    """

    FIRST = "first"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time of constant UTC offset, from `begins_at` to before `ends_at` (POSIX seconds).

    Local minutes are counted from 1970-01-01 00:00 local time. Jobs of fixed time run from local
    minute `fixed_from` on (later than the beginning in a repeated hour), others from the beginning.
    `missed` are the local minutes before it that are made up for at its first minute: for every
    job if `missed_by_all`, otherwise for jobs of fixed time. `skipped` are all local minutes that
    the clock jumped over, and from `fresh_from` on it shows minutes that it has not shown yet.
    """

    begins_at: int
    ends_at: int
    offset: int
    fixed_from: int
    fresh_from: int
    missed: range = range(0)
    missed_by_all: bool = False
    skipped: range = range(0)

    @property
    def first_minute(self) -> int:
        """The first local minute that begins within the stretch."""
        return self.minute_from(self.begins_at)

    def minute_from(self, second: int) -> int:
        """The first local minute that begins at or after the POSIX second."""
        return -(-(second + self.offset) // MINUTE)

    def made_up_for(self, gap: Gap | None, *, is_wildcard: bool) -> range:
        """The local minutes whose jobs start at the first minute instead; None: cron's own rule."""
        if gap is None:
            return range(0) if is_wildcard and not self.missed_by_all else self.missed
        return self.skipped if gap is Gap.RUN else range(0)

    def runs_from(self, repeat: Repeat | None, *, is_wildcard: bool) -> int:
        """The first local minute whose jobs start; None: cron's own rule."""
        if repeat is None:
            return self.first_minute if is_wildcard else self.fixed_from
        return self.fresh_from if repeat is Repeat.FIRST else self.first_minute


def stretches(timezone: str, start: int, stop: int) -> Iterator[Stretch]:
    """The stretches of a zone that overlap [start, stop), in order, cut to full chunks.

    Raises TimingError for an unknown zone.
    """
    start, stop = max(start, _EARLIEST), min(stop, _LATEST)
    for index in range(start // _CHUNK, (stop - 1) // _CHUNK + 1):
        for stretch in _chunk(timezone, index):
            if stretch.begins_at < stop and stretch.ends_at > start:
                yield stretch


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone of that IANA name; raises TimingError that suggests similar names."""
    if _NO_ZONE.match(str(name)):
        raise TimingError(_unnamed_zone(name))
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise TimingError(_unknown_zone(name)) from None


def gap_named(name: str) -> Gap | None:
    """The policy of that name, None for "": as the dialect does. Raises InvalidSchedule."""
    if not name:
        return None
    try:
        return Gap(name)
    except ValueError:
        raise InvalidSchedule(f'gap policy "{name}" is not known; known are: {", ".join(Gap)}') from None


def repeat_named(name: str) -> Repeat | None:
    """The policy of that name, None for "": as the dialect does. Raises InvalidSchedule."""
    if not name:
        return None
    try:
        return Repeat(name)
    except ValueError:
        known = ", ".join(Repeat)
        raise InvalidSchedule(f'repeat policy "{name}" is not known; known are: {known}') from None


def _unnamed_zone(name: str) -> str:
    return (
        f'"{name}" is a file of this machine\'s zone data and no IANA name: it means another zone on another '
        "machine, or counts leap seconds. Use a name such as Europe/Berlin"
    )


def _unknown_zone(name: str) -> str:
    close = difflib.get_close_matches(str(name), available_timezones(), n=3, cutoff=0.6)
    advice = f"did you mean {' or '.join(close)}?" if close else "use a name such as Europe/Berlin"
    return f'time zone "{name}" is not known; {advice}'


@lru_cache(maxsize=8192)
def _chunk(timezone: str, index: int) -> tuple[Stretch, ...]:
    begin = index * _CHUNK
    traced = _trace(zone(timezone), begin - _RUN_IN, begin + _CHUNK)
    return tuple(_cut(stretch, begin) for stretch in traced if stretch.ends_at > begin)


def _cut(stretch: Stretch, begin: int) -> Stretch:
    if stretch.begins_at >= begin:
        return stretch
    return replace(stretch, begins_at=begin, missed=range(0), skipped=range(0))


def _trace(tz: ZoneInfo, begin: int, end: int) -> Iterator[Stretch]:
    """Follow the daemon over a time; `done` is the last local minute that it dealt with.

    `shown` is the first local minute that the clock had not shown when it changed.
    """
    at, offset = begin, _offset(tz, begin)
    shown = -(-(begin + offset) // MINUTE)
    done = shown - 1
    for change, offset_after in [*_changes(tz, begin, end), (end, 0)]:
        stretch = _enter(at, change, offset, done, shown)
        yield stretch
        shown = stretch.minute_from(change)
        done = max(stretch.fixed_from, shown) - 1
        at, offset = change, offset_after


def _enter(begins_at: int, ends_at: int, offset: int, done: int, shown: int) -> Stretch:
    stretch = Stretch(begins_at, ends_at, offset, fixed_from=0, fresh_from=shown)
    first = stretch.first_minute
    stretch = replace(stretch, fresh_from=max(first, shown), skipped=range(shown, first))
    late = first - done
    if -_LARGE_JUMP < late <= 0:
        return replace(stretch, fixed_from=done + 1)
    missed = range(done + 1, first) if 1 < late <= _LARGE_JUMP else range(0)
    return replace(stretch, fixed_from=first, missed=missed, missed_by_all=late <= _SMALL_JUMP)


def _changes(tz: ZoneInfo, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Each second in (begin, end) at which the offset changes, and the offset from then on."""
    before, offset = begin, _offset(tz, begin)
    while before < end:
        after = min(before + _STRIDE, end)
        offset_after = _offset(tz, after)
        if offset_after != offset:
            changed_at = _first_second_after_change(tz, before, after, offset)
            if changed_at < end:
                yield changed_at, offset_after
        before, offset = after, offset_after


def _first_second_after_change(tz: ZoneInfo, before: int, after: int, offset: int) -> int:
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(tz, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(tz: ZoneInfo, second: int) -> int:
    """Seconds east of UTC."""
    second = min(max(second, _EARLIEST), _LATEST)
    local = (EPOCH + timedelta(seconds=second)).astimezone(tz)
    offset = local.utcoffset()
    assert offset is not None
    return offset.days * 86_400 + offset.seconds
