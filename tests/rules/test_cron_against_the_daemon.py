"""The engine against a minute-by-minute model of cron's main loop, over changes of the clock."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.rules.cron import fire_times
from tests.rules.cron_samples import random_expression
from tests.rules.daemon import model

# A zone, an instant at which its wall clock jumps, and by how many minutes.
CHANGES = {
    "Berlin, spring, +1 h": ("Europe/Berlin", "2026-03-29T01:00", 60),
    "Berlin, autumn, -1 h": ("Europe/Berlin", "2026-10-25T01:00", -60),
    "New York, spring, +1 h": ("America/New_York", "2026-03-08T07:00", 60),
    "New York, autumn, -1 h": ("America/New_York", "2026-11-01T06:00", -60),
    "Lord Howe, spring, +30 min": ("Australia/Lord_Howe", "2026-10-03T15:30", 30),
    "Lord Howe, autumn, -30 min": ("Australia/Lord_Howe", "2026-04-04T15:00", -30),
    "Havana, spring, +1 h at midnight": ("America/Havana", "2026-03-08T05:00", 60),
    "Havana, autumn, -1 h back to midnight": ("America/Havana", "2026-11-01T05:00", -60),
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


@pytest.mark.parametrize("name", CHANGES)
def test_the_wall_clock_jumps_where_the_table_says(name):
    zone, change, jump = CHANGES[name]
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)

    before, after = (wall_clock(zone, moment) for moment in (at - timedelta(minutes=1), at))

    assert after - before == timedelta(minutes=1 + jump)


@pytest.mark.parametrize("name", CHANGES)
def test_random_jobs_start_when_the_daemon_starts_them(name):
    zone, start, end = window(name)
    chance = random.Random(name)
    for _ in range(25):
        expression = random_expression(chance, hours=HOURS_NEAR_A_CHANGE)

        ours = list(fire_times(expression, zone, start, end))

        assert ours == model.firings(expression, zone, start, end), expression


@pytest.mark.parametrize("name", CHANGES)
def test_jobs_of_every_minute_and_of_every_hour_start_when_the_daemon_starts_them(name):
    zone, start, end = window(name)
    for expression in ("* * * * *", "0-59 0-23 * * *", "0-59 * * * *", "30 0-23 * * *"):
        ours = list(fire_times(expression, zone, start, end))

        assert ours == model.firings(expression, zone, start, end), expression


def window(name: str) -> tuple[str, datetime, datetime]:
    """Zone, start and end: from 4 hours before a change to 5 hours after it."""
    zone, change, _ = CHANGES[name]
    at = datetime.fromisoformat(change).replace(tzinfo=UTC)
    return zone, at - timedelta(hours=4), at + timedelta(hours=5)


def wall_clock(zone: str, moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
