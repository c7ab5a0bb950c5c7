"""The engine against Debian's own cron daemon, where it can be run (see `daemon.real`).

Each line over a gap has a crontab of its own: the daemon pauses ten seconds after each missed
minute that it makes up for, which delays the other lines of a crontab.
"""

import random
from datetime import UTC, datetime, timedelta

import pytest

from schedules.errors import CronError
from schedules.rules.cron import fire_times, parse
from tests.rules.cron_samples import random_expression
from tests.rules.daemon import real
from tests.rules.daemon.model import Job
from tests.rules.test_cron_against_the_daemon import (
    CHANGES,
    HOURS_NEAR_A_CHANGE,
    wall_clock,
    window,
)
from tests.rules.test_cron_fields import IGNORED_TEXT, REFUSED

WHY_NOT = real.why_not()
pytestmark = [pytest.mark.system, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]

WILDCARD_LINES = ["*/5 * * * *", "*/15 2 * * *", "*,30 2 * * *", "30 */2 * * *", "@hourly"]
FIXED_LINES = ["30 2 * * *", "0 2-3 * * *", "0 0 * * *", "30,* 2 * * *", "30 2,* * * *"]


@pytest.fixture(scope="module")
def cron(tmp_path_factory):
    return real.RealCron(tmp_path_factory.mktemp("cron"))


@pytest.mark.parametrize("name", CHANGES)
def test_wildcard_lines_start_in_the_same_minutes(cron, name):
    zone, start, end = window(name)
    lines = WILDCARD_LINES + sample(name, wildcard=True)

    started = cron.firings(lines, zone, start, end)

    assert started == [list(fire_times(line, zone, start, end)) for line in lines]


@pytest.mark.parametrize("name", [name for name in CHANGES if CHANGES[name][2] <= 0])
def test_fixed_lines_start_in_the_same_minutes(cron, name):
    zone, start, end = window(name)
    lines = FIXED_LINES + sample(name, wildcard=False)

    started = cron.firings(lines, zone, start, end)

    assert started == [list(fire_times(line, zone, start, end)) for line in lines]


@pytest.mark.parametrize("name", [name for name in CHANGES if CHANGES[name][2] > 0])
def test_fixed_lines_start_in_the_same_minutes_over_a_gap(cron, name):
    zone, start, end = window(name)
    for line in FIXED_LINES + sample(name, wildcard=False):
        [started] = cron.firings([line], zone, start, end)

        expected = list(fire_times(line, zone, start, end))
        assert at_the_end_of_the_gap(name, line, started) == expected, line


def test_many_missed_minutes_are_spread_by_the_daemon_and_are_one_instant_here(cron):
    zone, start, end = window("Berlin, spring, +1 h")
    end_of_gap = start + timedelta(hours=4)

    [started] = cron.firings(["0-59 2 * * *"], zone, start, end)

    assert len(started) == 60
    assert started[0] == end_of_gap
    assert started[-1] > end_of_gap + timedelta(minutes=5)
    assert list(fire_times("0-59 2 * * *", zone, start, end)) == [end_of_gap]


def test_ignored_text_is_ignored_alike(cron):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(hours=2)

    started = cron.firings(IGNORED_TEXT, "UTC", start, end)

    assert started == [list(fire_times(line, "UTC", start, end)) for line in IGNORED_TEXT]


def test_the_same_lines_are_refused(cron):
    chance = random.Random(3)
    lines = [line for line in REFUSED if len(line.split()) == 5]
    lines += [damaged(random_expression(chance), chance) for _ in range(400)]

    refused = cron.refuses(lines)

    assert refused == [refused_here(line) for line in lines]


def at_the_end_of_the_gap(name: str, line: str, started: list[datetime]) -> list[datetime]:
    """The starts, once each, those that were made up for late moved to the end of the gap.

    A start is made up for if the line does not match the wall clock at which it happened.
    """
    zone, change, _ = CHANGES[name]
    job, end_of_gap = Job(line), datetime.fromisoformat(change).replace(tzinfo=UTC)
    on_time = {moment for moment in started if job.matches(wall_minute(zone, moment))}
    made_up_for = {end_of_gap for moment in started if moment not in on_time}
    return sorted(on_time | made_up_for)


def wall_minute(zone: str, moment: datetime) -> int:
    """The wall clock's minutes since 1970."""
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time has no zone
    return (wall_clock(zone, moment) - epoch) // timedelta(minutes=1)


def sample(name: str, *, wildcard: bool) -> list[str]:
    """A few random lines of one kind."""
    chance = random.Random(name)
    lines = (random_expression(chance, hours=HOURS_NEAR_A_CHANGE) for _ in range(8))
    return [line for line in lines if parse(line).is_wildcard is wildcard]


def damaged(expression: str, chance: random.Random) -> str:
    """The expression with one character put in, not as the first: `#` would make a comment."""
    at = chance.randrange(1, len(expression))
    return expression[:at] + chance.choice("*,-/#~.;x?L%!079") + expression[at:]


def refused_here(line: str) -> bool:
    try:
        parse(line)
    except CronError:
        return True
    return False
