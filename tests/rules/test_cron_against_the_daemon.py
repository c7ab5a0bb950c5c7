"""The engine against a minute-by-minute model of cron's main loop, over changes of the clock."""

import random
from datetime import timedelta

import pytest

from schedules.rules.cron import fire_times
from tests.rules.cron_samples import random_expression
from tests.rules.daemon import model
from tests.rules.daemon.windows import CHANGES, HOURS_NEAR_A_CHANGE, wall_clock, window


@pytest.mark.parametrize("name", CHANGES)
def test_the_wall_clock_jumps_where_the_table_says(name):
    of = window(name)

    before, after = (wall_clock(of.zone, moment) for moment in (of.change - timedelta(minutes=1), of.change))

    assert after - before == timedelta(minutes=1 + of.jump)


@pytest.mark.parametrize("name", CHANGES)
def test_random_jobs_start_when_the_daemon_starts_them(name):
    of = window(name)
    chance = random.Random(name)
    for _ in range(25):
        expression = random_expression(chance, hours=HOURS_NEAR_A_CHANGE)

        ours = list(fire_times(expression, of.zone, of.start, of.end))

        assert ours == model.firings(expression, of.zone, of.start, of.end), expression


@pytest.mark.parametrize("name", CHANGES)
def test_jobs_of_every_minute_and_of_every_hour_start_when_the_daemon_starts_them(name):
    of = window(name)
    for expression in ("* * * * *", "0-59 0-23 * * *", "0-59 * * * *", "30 0-23 * * *"):
        ours = list(fire_times(expression, of.zone, of.start, of.end))

        assert ours == model.firings(expression, of.zone, of.start, of.end), expression
