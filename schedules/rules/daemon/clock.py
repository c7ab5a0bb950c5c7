"""The clock of cron's daemon in a zone: which wall-clock minutes it deals with, when, for which jobs.

The daemon keeps a virtual time: the last wall-clock minute that it has dealt with. Each real minute
it looks how late that is, and does one of these (main loop of Debian's cron 3.0pl1):

    exactly 1           the usual case: runs all jobs of the minute
    2 to 5              runs all jobs of every minute up to now, at once
    6 to 180            runs the wildcard jobs of now, and the fixed jobs of every minute up to now, at once
    0 back to -179      runs the wildcard jobs of now; virtual time stands still until it is passed
    anything else       sets virtual time to now, and runs all jobs of now

"At once" leaves out that the daemon rests ten seconds after each of these minutes in which something
started: what it starts late counts at the end of the gap. Called by `daemon`; nothing of the engine's
modules is used here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from schedules.errors import TimingError

DAY = 1440
_HELD_BACK, _CAUGHT_UP, _ALL_CAUGHT_UP = -180, 180, 5
# No zone has ever changed its offset twice within six hours.
_LOOK_EVERY = 6 * 60
# Long enough for any effect of an earlier change to be over.
_RUN_IN = DAY
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Spell:
    """A run of real minutes (counted from 1970 UTC) in which the daemon does the same.

    In real minute `at + k` it deals with wall-clock minute `minute + k`, for k in range(count); with
    `at_once` it deals with all of them in real minute `at`.
    """

    at: int
    minute: int
    count: int
    wildcard: bool = True
    fixed: bool = True
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """At real minute `at` the wall clock jumps by `by` minutes; from then on it is `offset` east of UTC."""

    at: int
    by: int
    offset: int


@lru_cache(maxsize=256)
def spells(zone: str, first: int, end: int) -> tuple[Spell, ...]:
    """What the daemon does in the real minutes of [first, end), in order. Raises TimingError."""
    begin = first - _RUN_IN
    offset = _offset(_zone(zone), begin)
    done = begin + offset - 1
    found: list[Spell] = []
    for change in (*changes(zone, begin, end), None):
        until = change.at if change else end
        while begin < until:
            some, done = _deal(begin, begin + offset, done, until - begin)
            found += some
            begin += 1 if some[-1].at_once else some[-1].count
        offset = change.offset if change else offset
    return tuple(cut for spell in found if (cut := _cut(spell, first)))


def _deal(at: int, clock: int, done: int, left: int) -> tuple[list[Spell], int]:
    """What is done from real minute `at` on, for at most `left` minutes; and the virtual time after it."""
    late = clock - done
    if late == 1 or not _HELD_BACK < late <= _CAUGHT_UP:
        return [Spell(at, clock, left)], clock + left - 1
    if late <= 0:
        held = min(left, 1 - late)
        return [Spell(at, clock, held, fixed=False)], done
    missed = Spell(at, done + 1, late, at_once=True, wildcard=late <= _ALL_CAUGHT_UP)
    if late <= _ALL_CAUGHT_UP:
        return [missed], clock
    return [Spell(at, clock, 1, fixed=False), missed], clock


def _cut(spell: Spell, first: int) -> Spell | None:
    """What of the spell lies at or after real minute `first`."""
    before = first - spell.at
    if before <= 0:
        return spell
    if spell.at_once or before >= spell.count:
        return None
    return Spell(first, spell.minute + before, spell.count - before, spell.wildcard, spell.fixed)


@lru_cache(maxsize=256)
def changes(zone: str, first: int, end: int) -> tuple[Change, ...]:
    """The jumps of the zone's wall clock in the real minutes of (first, end). Raises TimingError."""
    return tuple(_changes(_zone(zone), first, end))


def _changes(zone: ZoneInfo, first: int, end: int) -> Iterator[Change]:
    before = _offset(zone, first)
    for minute in range(first, end, _LOOK_EVERY):
        last = min(minute + _LOOK_EVERY, end - 1)
        if _offset(zone, last) == before:
            continue
        at = next(each for each in range(minute + 1, last + 1) if _offset(zone, each) != before)
        after = _offset(zone, at)
        yield Change(at, after - before, after)
        before = after


def _offset(zone: ZoneInfo, minute: int) -> int:
    """Whole minutes: since 1972 no zone has had seconds in its offset."""
    local = (_EPOCH + timedelta(minutes=minute)).astimezone(zone)
    return (local.utcoffset() or timedelta()) // timedelta(minutes=1)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise TimingError(f'time zone "{name}" is not known; use a name such as Europe/Berlin') from None
