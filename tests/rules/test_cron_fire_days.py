"""Days of instants: the same instants as `fire_times`, in few steps, equal where the instants are."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.rules.cron import fire_days, fire_times
from tests.rules.test_cron import EXPRESSIONS, MOMENTS, ZONES

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
POLICIES = st.fixed_dictionaries(
    {"gap": st.sampled_from(["", "skip", "run"]), "repeat": st.sampled_from(["", "first", "both"])}
)


@settings(max_examples=40, deadline=None)
@given(EXPRESSIONS, ZONES, MOMENTS, POLICIES)
def test_they_hold_the_instants_of_fire_times(expression, zone, start, policies):
    window = (expression, zone, start, start + timedelta(days=200))

    days = list(fire_days(*window, **policies))

    flat = [midnight + second for midnight, seconds in days for second in seconds]
    assert flat == [instant.timestamp() for instant in fire_times(*window, **policies)]
    assert all(seconds for _, seconds in days)


@settings(max_examples=25, deadline=None)
@given(EXPRESSIONS, ZONES, MOMENTS, POLICIES, POLICIES)
def test_days_are_equal_if_and_only_if_the_instants_are(expression, zone, start, one, other):
    window = (expression, zone, start, start + timedelta(days=370))

    same_days = list(fire_days(*window, **one)) == list(fire_days(*window, **other))

    assert same_days == (list(fire_times(*window, **one)) == list(fire_times(*window, **other)))


def test_two_ways_to_write_the_same_have_equal_days():
    """The first is of fixed time, the second follows real time; at the end of the gap both start once."""
    window = ("Europe/Berlin", NEW_YEAR, datetime(2026, 10, 1, tzinfo=UTC))

    assert list(fire_days("0 0-23 * * *", *window)) == list(fire_days("0 * * * *", *window))


@pytest.mark.parametrize(
    ("expression", "dialect", "instants"),
    [("* * * * *", "cron", 525_600), ("* * * * * *", "extended", 31_536_000)],
)
def test_a_dense_year_is_one_step_a_day_and_days_share_what_is_equal(expression, dialect, instants):
    days = list(fire_days(expression, "Europe/Berlin", NEW_YEAR, NEW_YEAR + YEAR, dialect))

    assert sum(len(seconds) for _, seconds in days) == instants
    assert len(days) < 375
    assert len({id(seconds) for _, seconds in days}) < 12


def test_a_midnight_is_the_one_of_the_offset_in_force():
    """Berlin, 2026-03-29: the day begins at 23:00 UTC; by summer time it would have at 22:00."""
    midnight = datetime(2026, 3, 28, 23, tzinfo=UTC)

    days = list(fire_days("30 1,3 * * *", "Europe/Berlin", midnight, midnight + timedelta(hours=23)))

    winter, summer = int(midnight.timestamp()), int(midnight.timestamp()) - 3600
    assert days == [(winter, (5400,)), (summer, (12_600,))]
