"""When a crontab may be edited: in the middle of a minute, away from changes of the clock."""

from datetime import UTC, datetime, timedelta

import pytest

from schedules.rules.safe_minute import (
    LAST_CHANCE,
    clock_change_near,
    is_in_time,
    next_minute,
    seconds_to_wait,
)

MINUTE = datetime(2026, 11, 21, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("second", "waits"),
    [(0, 10), (1, 9), (9.5, 0.5), (10, 0), (25, 0), (39.9, 0), (40, 30), (55, 15), (59.5, 10.5)],
)
def test_it_waits_for_second_10_to_40(second, waits):
    assert seconds_to_wait(MINUTE + timedelta(seconds=second)) == pytest.approx(waits)


def test_what_begins_in_the_safe_part_holds_from_the_next_minute():
    assert next_minute(MINUTE + timedelta(seconds=39)) == MINUTE + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("second", "step", "back"), [(10, 1, 1), (49, 1, 1), (50, 0, 1), (56, 0, 1), (57, 0, 0)]
)
def test_a_step_may_be_taken_until_50_and_taken_back_until_57(second, step, back):
    effective = MINUTE + timedelta(minutes=1)
    now = MINUTE + timedelta(seconds=second)
    assert is_in_time(now, effective) == bool(step)
    assert is_in_time(now, effective, deadline=LAST_CHANCE) == bool(back)


CHANGE = datetime(2026, 10, 25, 1, tzinfo=UTC)  # Berlin: 03:00 becomes 02:00


@pytest.mark.parametrize(
    ("zone", "hours", "near"),
    [
        ("Europe/Berlin", 0, True),
        ("Europe/Berlin", -3, True),
        ("Europe/Berlin", 2.9, True),
        ("Europe/Berlin", -3.3, False),
        ("Europe/Berlin", 3.3, False),
        ("UTC", 0, False),
        ("No/Where", 0, False),
    ],
)
def test_a_change_of_the_clock_within_three_hours_is_near(zone, hours, near):
    assert clock_change_near(zone, CHANGE + timedelta(hours=hours)) is near


def test_half_an_hour_is_a_change_too():
    assert clock_change_near("Australia/Lord_Howe", datetime(2026, 10, 3, 14, tzinfo=UTC))
