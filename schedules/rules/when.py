"""What people type as the *when* of a schedule, and the text that shows it again: `read` and `write`.

    cron fields, a macro, @reboot     every 15 minutes     once at 2026-12-01 04:00
    sunset at 52.52, 13.405           (empty: by hand)

The values name what was typed; instants come from `timing`. Words for people are in `wording`.
Called by the schedule form, which knows the columns that hold each kind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from schedules.errors import TimingError
from schedules.rules import solar, timing, wording
from schedules.rules.cron.clock import zone

UNITS = ("days", "hours", "minutes", "seconds", "microseconds")
"""The units of an interval, as django-celery-beat names its periods."""

LONGEST_INTERVAL = timedelta(days=3650)
EXAMPLES = "Write 30 4 * * 1-5, @daily, every 15 minutes, or once at 2026-12-01 04:00."

_EVERY = re.compile(r"every\s+(?:(?P<count>\S+)\s+)?(?P<unit>[a-z]+)", re.IGNORECASE)
_ONCE = re.compile(
    r"(?:once\s+)?at\s+(?P<date>\d{4}-\d{2}-\d{2})[\sT]+(?P<time>\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)"
    r"(?P<utc>\s*(?:UTC|Z))?",
    re.IGNORECASE | re.ASCII,
)
_SUN = re.compile(
    r"(?P<event>[a-z_ ]+?)\s+at\s+(?P<latitude>[-+]?\d{1,3}(?:\.\d+)?)(?:\s*,\s*|\s+)"
    r"(?P<longitude>[-+]?\d{1,3}(?:\.\d+)?)",
    re.IGNORECASE | re.ASCII,
)
_DECIMALS = 6
"""Of a degree, a tenth of a metre: what django-celery-beat stores."""
_SUN_EVENTS = {words: event for event, words in wording.SOLAR.items()} | {
    event.replace("_", " "): event for event in wording.SOLAR
}
"""As people and as Celery write them."""
_SUN_WORDS = {words.partition(" ")[0] for words in _SUN_EVENTS}


@dataclass(frozen=True, slots=True)
class CronText:
    """Cron fields, a macro or `@reboot`, as typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Every:
    """An interval: `count` times one of `UNITS`."""

    count: int
    unit: str

    @property
    def length(self) -> timedelta:
        return timedelta(**{self.unit: self.count})


@dataclass(frozen=True, slots=True)
class Once:
    """One moment, aware."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Sun:
    """An event of the sun at a place: one of `solar.EVENTS`, degrees north, degrees east."""

    event: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class ByHand:
    """Never due by the clock."""


When = CronText | Every | Once | Sun | ByHand


def read(text: str, *, timezone: str, dialect: str = "cron") -> When:
    """What the text stands for; moments are read in the zone. Raises CronError or TimingError."""
    typed = text.strip()
    word = typed.partition(" ")[0].lower()
    if not typed:
        return ByHand()
    if word == "every":
        return _read_interval(typed)
    if word in ("once", "at"):
        return _read_moment(typed, timezone)
    if word.replace("_", " ").partition(" ")[0] in _SUN_WORDS:
        return read_sun(typed)
    timing.from_cron_text(typed, timezone, dialect)
    return CronText(typed)


def write(when: When, *, timezone: str) -> str:
    """The text that `read` turns into an equal value in the same zone."""
    match when:
        case CronText(text):
            return text
        case Every(count, unit):
            return f"every {unit[:-1]}" if count == 1 else f"every {count} {unit}"
        case Once(at):
            return f"once at {_written(at, zone(timezone))}"
        case Sun(event, latitude, longitude):
            return f"{wording.SOLAR[event]} at {wording.degrees(latitude)}, {wording.degrees(longitude)}"
        case ByHand():
            return ""


def read_sun(text: str) -> Sun:
    """What a text such as "sunset at 52.52, 13.405" names. Raises TimingError."""
    found = _SUN.fullmatch(text.strip())
    words = " ".join((found["event"] if found else "").lower().replace("_", " ").split())
    if found is None or words not in _SUN_EVENTS:
        raise TimingError(
            f'"{text}" names no event of the sun. Write sunset at 52.52, 13.405 (degrees north and east); '
            f"the events are {', '.join(wording.SOLAR.values())}."
        )
    latitude, longitude = (round(float(found[name]), _DECIMALS) + 0.0 for name in ("latitude", "longitude"))
    solar.check(_SUN_EVENTS[words], latitude, longitude)
    return Sun(_SUN_EVENTS[words], latitude, longitude)


def timing_for(
    when: When,
    *,
    timezone: str,
    dialect: str,
    anchor: datetime,
    include_anchor: bool = False,
    gap: str = "",
    repeat: str = "",
    seed: str = "",
) -> timing.Unbounded:
    """The timing of the value; an interval counts from `anchor`. Raises InvalidSchedule.

    `gap`, `repeat` and `seed` are for cron fields only, as in `timing.CronTiming`.
    """
    match when:
        case CronText(text):
            return timing.from_cron_text(text, timezone, dialect, gap=gap, repeat=repeat, seed=seed)
        case Every():
            return timing.IntervalTiming(when.length, anchor, include_anchor)
        case Once(at):
            return timing.MomentTiming(at)
        case Sun(event, latitude, longitude):
            return timing.SolarTiming(event, latitude, longitude)
        case ByHand():
            return timing.NoTiming()


def _read_interval(typed: str) -> Every:
    found = _EVERY.fullmatch(typed)
    if found is None:
        raise TimingError(f'"{typed}" is no interval. Write every 15 minutes, or every 2 hours.')
    unit = _unit(found["unit"].lower())
    count = found["count"] or "1"
    if not (count.isascii() and count.isdecimal()) or len(count) > 12 or int(count) < 1:
        raise TimingError(
            f'"{count}" is not a whole number from 1. For every 1.5 hours write every 90 minutes.'
        )
    if int(count) > LONGEST_INTERVAL / timedelta(**{unit: 1}):
        raise TimingError(f'"{typed}" is longer than {LONGEST_INTERVAL.days} days, the longest interval.')
    every = Every(int(count), unit)
    if every.length < timing.SHORTEST_INTERVAL:
        raise TimingError(f'"{typed}" is too short: use 1 second or more.')
    return every


def _unit(word: str) -> str:
    for unit in UNITS:
        if word in (unit, unit[:-1]):
            return unit
    raise TimingError(f'"{word}" is not a unit. Known are {", ".join(reversed(UNITS[:-1]))}.')


def _read_moment(typed: str, timezone: str) -> Once:
    found = _ONCE.fullmatch(typed)
    if found is None:
        raise TimingError(f'"{typed}" names no moment. Write once at 2026-12-01 04:00.')
    hour, _, rest = found["time"].partition(":")
    try:
        naive = datetime.fromisoformat(f"{found['date']} {hour:0>2}:{_padded(rest)}")
        return Once(naive.replace(tzinfo=UTC) if found["utc"] else _aware(naive, timezone))
    except (ValueError, OverflowError) as problem:
        raise TimingError(f'"{typed}" names no moment: {problem}.') from problem


def _padded(minutes: str) -> str:
    """A fraction of a second with all of its six digits."""
    whole, dot, fraction = minutes.partition(".")
    return f"{whole}.{fraction:0<6}" if dot else whole


def _aware(naive: datetime, timezone: str) -> datetime:
    """The instant at which the zone's clocks show it; the first one in a repeated hour."""
    instant = naive.replace(tzinfo=zone(timezone)).astimezone(UTC)
    if instant.astimezone(zone(timezone)).replace(tzinfo=None) != naive:
        raise TimingError(
            f"{naive:%Y-%m-%d %H:%M} does not exist in {timezone}: the clocks are put forward there. "
            "Choose a time before or after."
        )
    return instant


def _written(at: datetime, where: ZoneInfo) -> str:
    """In the zone; in UTC where that would name another instant, or none."""
    try:
        shown = at.astimezone(where)
        in_utc = shown.fold == 1 and shown.replace(fold=0).utcoffset() != shown.utcoffset()
    except OverflowError:  # within hours of the end of the calendar
        in_utc = True
    if in_utc:
        shown = at.astimezone(UTC)
    text = f"{shown:%Y-%m-%d %H:%M}"
    if shown.microsecond:
        text = f"{shown:%Y-%m-%d %H:%M:%S.%f}"
    elif shown.second:
        text = f"{shown:%Y-%m-%d %H:%M:%S}"
    return f"{text} UTC" if in_utc else text
