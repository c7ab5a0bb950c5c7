"""Policies for clock changes that a person sets: against a model that knows only a wall clock."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from schedules.errors import InvalidSchedule
from schedules.rules.cron import fire_times, next_fire
from tests.rules.cron_samples import random_expression
from tests.rules.daemon.model import Job
from tests.rules.daemon.windows import CHANGES, HOURS_NEAR_A_CHANGE, wall_minute, window

BERLIN = "Europe/Berlin"
GAP = datetime(2026, 3, 29, 0, tzinfo=UTC)  # an hour before 02:00 is followed by 03:00
REPEATED = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00 summer time; an hour later it is 02:00 again
EVERY_POLICY = [(gap, repeat) for gap in ("skip", "run") for repeat in ("first", "both")]


def model(
    expression: str, zone: str, start: datetime, end: datetime, gap: str, repeat: str
) -> list[datetime]:
    """Each minute of the wall clock in turn: was it shown before, were others skipped?"""
    job, found = Job(expression), []
    latest = wall_minute(zone, start) - 1
    for moment in minutes(start, end):
        now = wall_minute(zone, moment)
        due = job.matches(now) and not (repeat == "first" and now <= latest)
        made_up_for = gap == "run" and any(map(job.matches, range(latest + 1, now)))
        if due or made_up_for:
            found.append(moment)
        latest = max(latest, now)
    return found


def minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(minutes=1)


@pytest.mark.parametrize(("gap", "repeat"), EVERY_POLICY)
@pytest.mark.parametrize(
    "name", [*list(CHANGES)[:8], "Casey, +3 h, one minute too far to be made up for", "Apia, a day skipped"]
)
def test_a_policy_holds_for_every_time_and_every_jump(name, gap, repeat):
    of, chance = window(name), random.Random(name)
    for _ in range(4):
        expression = random_expression(chance, hours=HOURS_NEAR_A_CHANGE)

        ours = list(fire_times(expression, of.zone, of.start, of.end, gap=gap, repeat=repeat))

        assert ours == model(expression, of.zone, of.start, of.end, gap, repeat), expression


@pytest.mark.parametrize(
    ("expression", "gap", "expected"),
    [
        ("30 2 * * *", "", ["01:00"]),
        ("30 2 * * *", "skip", []),
        ("30 2 * * *", "run", ["01:00"]),
        ("0 2 * * *", "run", ["01:00"]),  # the first of the skipped minutes
        ("59 2 * * *", "run", ["01:00"]),  # the last
        ("0 2-3 * * *", "run", ["01:00"]),
        ("*/15 2 * * *", "", []),
        ("*/15 2 * * *", "run", ["01:00"]),  # four skipped times are one run
        ("0 2-3 * * *", "skip", ["01:00"]),  # due at 03:00 anyway
        ("30 * * * *", "", ["00:30", "01:30"]),
        ("30 * * * *", "run", ["00:30", "01:00", "01:30"]),
    ],
)
def test_what_berlin_skips_in_spring(expression, gap, expected):
    found = fire_times(expression, BERLIN, GAP, GAP + timedelta(hours=2), gap=gap)

    assert [f"{instant:%H:%M}" for instant in found] == expected


@pytest.mark.parametrize(
    ("expression", "repeat", "expected"),
    [
        ("30 2 * * *", "", ["00:30"]),
        ("30 2 * * *", "both", ["00:30", "01:30"]),
        ("30 2 * * *", "first", ["00:30"]),
        ("30 * * * *", "", ["00:30", "01:30"]),
        ("30 * * * *", "first", ["00:30"]),
    ],
)
def test_what_berlin_shows_twice_in_autumn(expression, repeat, expected):
    found = fire_times(expression, BERLIN, REPEATED, REPEATED + timedelta(hours=2), repeat=repeat)

    assert [f"{instant:%H:%M}" for instant in found] == expected


def test_a_day_that_is_skipped_whole_is_made_up_for_where_a_person_says_so():
    start = datetime(2011, 12, 30, tzinfo=UTC)
    noon = {
        "expression": "0 12 * * *",
        "timezone": "Pacific/Apia",
        "start": start,
        "end": start + timedelta(1),
    }

    assert [f"{at:%d %H:%M}" for at in fire_times(**noon)] == ["30 22:00"]
    assert [f"{at:%d %H:%M}" for at in fire_times(**noon, gap="run")] == ["30 10:00", "30 22:00"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/15 2 * * *", "0 */2 * * *"])
@pytest.mark.parametrize(("gap", "repeat"), [("", ""), *EVERY_POLICY])
def test_following_next_fire_gives_the_same_instants(expression, gap, repeat):
    for start in (GAP, REPEATED):
        instants = list(
            fire_times(expression, BERLIN, start, start + timedelta(hours=40), gap=gap, repeat=repeat)
        )

        followed, after = [], start - timedelta(microseconds=1)
        for _ in instants:
            after = next_fire(expression, BERLIN, after, gap=gap, repeat=repeat)
            followed.append(after)

        assert followed == instants


def test_seconds_are_made_up_for_by_one_run():
    found = fire_times("*/10 30 2 * * *", BERLIN, GAP, GAP + timedelta(hours=2), "extended", gap="run")

    assert list(found) == [GAP + timedelta(hours=1)]


@pytest.mark.parametrize(("policy", "known"), [("gap", "skip, run"), ("repeat", "first, both")])
def test_an_unknown_policy_is_refused_with_the_known_ones(policy, known):
    with pytest.raises(InvalidSchedule, match=f'{policy} policy "later" is not known; known are: {known}'):
        next_fire("* * * * *", "UTC", GAP, **{policy: "later"})
