"""Times at which the daemon is watched: around changes of the clock, and over ends of months and years."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

# A zone, an instant at which its wall clock jumps, and by how many minutes.
CHANGES = {
    "Berlin, spring, +1 h": ("Europe/Berlin", "2026-03-29T01:00", 60),
    "Berlin, autumn, -1 h": ("Europe/Berlin", "2026-10-25T01:00", -60),
    "New York, spring, +1 h": ("America/New_York", "2026-03-08T07:00", 60),
    "New York, autumn, -1 h": ("America/New_York", "2026-11-01T06:00", -60),
    "Lord Howe, spring, +30 min": ("Australia/Lord_Howe", "2026-10-03T15:30", 30),
    "Lord Howe, autumn, -30 min": ("Australia/Lord_Howe", "2026-04-04T15:00", -30),
    "Havana, spring, +1 h at midnight": ("America/Havana", "2026-03-08T05:00", 60),
    "Havana, autumn, -1 h back to midnight": ("America/Havana", "2025-11-02T05:00", -60),
    "Cairo, +1 h at midnight": ("Africa/Cairo", "2026-04-23T22:00", 60),
    "Dublin, winter time is the exception": ("Europe/Dublin", "2026-10-25T01:00", -60),
    "Casablanca, Ramadan begins, -1 h": ("Africa/Casablanca", "2026-02-15T02:00", -60),
    "Casablanca, Ramadan ends, +1 h": ("Africa/Casablanca", "2026-03-22T02:00", 60),
    "Troll, +2 h": ("Antarctica/Troll", "2026-03-29T01:00", 120),
    "Troll, -2 h": ("Antarctica/Troll", "2026-10-25T01:00", -120),
    "Casey, +3 h, one minute too far to be made up for": ("Antarctica/Casey", "2009-10-17T18:00", 180),
    "Casey, -3 h, just near enough to hold back": ("Antarctica/Casey", "2010-03-04T15:00", -180),
    "Apia, a day skipped": ("Pacific/Apia", "2011-12-30T10:00", 1440),
    "Kwajalein, a day skipped": ("Pacific/Kwajalein", "1993-08-21T12:00", 1440),
    "Pyongyang, +30 min without DST": ("Asia/Pyongyang", "2018-05-04T15:00", 30),
    "Pyongyang, -30 min without DST": ("Asia/Pyongyang", "2015-08-14T15:00", -30),
    "Caracas, -30 min without DST": ("America/Caracas", "2007-12-09T07:00", -30),
    "Caracas, +30 min without DST": ("America/Caracas", "2016-05-01T07:00", 30),
    "Moscow, +1 h for good": ("Europe/Moscow", "2011-03-26T23:00", 60),
    "Moscow, -1 h for good": ("Europe/Moscow", "2014-10-25T22:00", -60),
    "Kathmandu, +15 min": ("Asia/Kathmandu", "1985-12-31T18:30", 15),
    "Nuuk, across midnight": ("America/Nuuk", "2026-03-29T01:00", 60),
    "Kolkata, no change": ("Asia/Kolkata", "2026-03-29T01:00", 0),
    "UTC, no change": ("UTC", "2026-03-29T01:00", 0),
}
HOURS_NEAR_A_CHANGE = (0, 1, 2, 3, 23)
# A zone, the first and the last day. Not beyond 2037: the daemon's clock has 32 bits.
CALENDARS = {
    "Two weeks in summer": ("UTC", "2026-06-01", "2026-06-15"),
    "February of a common year ends": ("Europe/Berlin", "2027-02-25", "2027-03-04"),
    "February of a leap year ends": ("America/New_York", "2028-02-26", "2028-03-04"),
    "A month of 30 days ends": ("Asia/Kolkata", "2026-04-27", "2026-05-04"),
    "A year ends": ("Asia/Kolkata", "2026-12-28", "2027-01-05"),
}


@dataclass(frozen=True)
class Window:
    """The time [start, end) of a zone. `change` is when its clock jumps by `jump` minutes, if it does."""

    zone: str
    start: datetime
    end: datetime
    change: datetime | None = None
    jump: int = 0


def window(name: str) -> Window:
    """A named one; of a change, from 4 hours before it to 5 hours after it."""
    if name in CALENDARS:
        zone, first, last = CALENDARS[name]
        return Window(zone, _instant(first), _instant(last))
    zone, change, jump = CHANGES[name]
    at = _instant(change)
    return Window(zone, at - timedelta(hours=4), at + timedelta(hours=5), at, jump)


def wall_clock(zone: str, moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def wall_minute(zone: str, moment: datetime) -> int:
    """The wall clock's minutes since 1970."""
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time has no zone
    return (wall_clock(zone, moment) - epoch) // timedelta(minutes=1)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
