"""Debian's own cron daemon, where it can be run: it still does what was recorded, and the engine agrees.

The lines here that are not in the record are random: the engine cannot have been fitted to them.
"""

import random
from datetime import UTC, datetime, timedelta

import pytest

from schedules.rules.cron import fire_times, parse
from tests.rules.cron_samples import random_expression
from tests.rules.daemon import cases, real, recorded
from tests.rules.daemon.windows import CALENDARS, CHANGES, HOURS_NEAR_A_CHANGE, window
from tests.rules.test_cron_against_the_recorded_daemon import RECORDED, judged
from tests.rules.test_cron_fields import IGNORED_TEXT, REFUSED

WHY_NOT = real.why_not()
pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def cron(tmp_path_factory):
    return real.RealCron(tmp_path_factory.mktemp("cron"))


@pytest.mark.parametrize("name", [*CHANGES, *CALENDARS])
def test_the_daemon_does_what_was_recorded(cron, name):
    of = cases.lines(name)[::5]  # the daemon takes a process for each start, and time

    assert recorded.starts(cron, name, of) == {line: RECORDED[name][line] for line in of}


def test_the_daemon_refuses_what_was_recorded(cron):
    assert recorded.refused(cron) == RECORDED["refused"]


@pytest.mark.parametrize("name", CHANGES)
def test_other_lines_start_in_the_same_minutes(cron, name):
    of, chance = window(name), random.Random(name)
    for _ in range(4):
        line = random_expression(chance, hours=HOURS_NEAR_A_CHANGE)
        [started] = cron.firings([line], of.zone, of.start, of.end)

        expected = list(fire_times(line, of.zone, of.start, of.end))
        assert recorded.instants(name, line, started) == expected, line


def test_many_missed_minutes_are_spread_by_the_daemon_and_are_one_instant_here(cron):
    of = window("Berlin, spring, +1 h")

    [started] = cron.firings(["0-59 2 * * *"], of.zone, of.start, of.end)

    assert len(started) == 60
    assert started[0] == of.change
    assert started[-1] > of.change + timedelta(minutes=5)
    assert list(fire_times("0-59 2 * * *", of.zone, of.start, of.end)) == [of.change]


def test_ignored_text_is_ignored_alike(cron):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(hours=2)

    started = cron.firings(IGNORED_TEXT, "UTC", start, end)

    assert started == [list(fire_times(line, "UTC", start, end)) for line in IGNORED_TEXT]


def test_the_same_lines_are_refused(cron):
    chance = random.Random(3)
    lines = [line for line in REFUSED if len(line.split()) == 5]
    lines += [cases.damaged(random_expression(chance), chance) for _ in range(400)]

    refused = cron.refuses(lines)

    assert refused == [judged(line) == "refused" for line in lines]


def test_the_sample_holds_both_kinds_of_jobs():
    kinds = {parse(line).is_wildcard for line in cases.lines("Berlin, spring, +1 h")}

    assert kinds == {True, False}
