"""Which field of an expression does not match, and what becomes of times that a clock skips or repeats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.errors import TimingError
from schedules.rules import asked
from schedules.rules.explaining import clock_change, compare_fields, say_clock_change, stands_for_gap
from schedules.rules.timing import CronTiming
from tests.rules.cron_samples import random_expression

BERLIN = "Europe/Berlin"
HERE = ZoneInfo(BERLIN)
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
shown = datetime.fromisoformat
SATURDAY = "2026-11-21T02:30"


@pytest.mark.parametrize(
    ("expression", "dialect", "wall", "sentence"),
    [
        (
            *("30 2 * * 1-5", "cron", SATURDAY),
            "minute and hour match, but day of week is 1-5 (Monday to Friday) and 2026-11-21 is a Saturday",
        ),
        (
            *("30 2 13 * 5", "cron", SATURDAY),
            "minute and hour match, but day of month is 13, day of week is 5 (Friday), and 2026-11-21 is a "
            "Saturday, the 21st; because both day fields are restricted, either would be enough",
        ),
        (
            *("30 2 13 * 6", "celery", SATURDAY),
            "minute, hour and day of week match, but day of month is 13 and 2026-11-21 is the 21st",
        ),
        ("*/20 * * * *", "cron", SATURDAY, "minute is */20 (0, 20 and 40), not 30"),
        ("@daily", "cron", SATURDAY, "minute is 0, not 30; hour is 0, not 2"),
        (
            *("30 2 * jan-mar *", "cron", SATURDAY),
            "minute and hour match, but month is jan-mar (January to March), not November",
        ),
        (
            *("30 2 * * *", "cron", SATURDAY + ":15"),
            "minute and hour match, but a start is at second 0 of a minute, not at second 15",
        ),
        (
            *("30 2 L * *", "extended", SATURDAY),
            "minute and hour match, but day of month is L and 2026-11-21 is the 21st",
        ),
        ("30 2 * * 6", "cron", SATURDAY, ""),
    ],
)
def test_the_field_that_does_not_match_is_named(expression, dialect, wall, sentence):
    timing = CronTiming(expression, BERLIN, dialect)
    assert compare_fields(timing, datetime.fromisoformat(wall)).sentence == sentence


@settings(deadline=None)
@given(
    st.randoms(use_true_random=False).map(random_expression),
    st.datetimes(shown("2026-01-01T00:00"), shown("2029-01-01T00:00")).map(
        lambda it: it.replace(second=0, microsecond=0)
    ),
)
def test_fields_fail_exactly_where_the_engine_starts_nothing(expression, wall):
    """In a zone without changes of the clock."""
    at = wall.replace(tzinfo=UTC)
    timing = CronTiming(expression, "UTC")
    is_due = any(timing.between(at, at + timedelta(minutes=1)))
    assert bool(compare_fields(timing, wall).failing) is not is_due


GAP, REPEAT = shown("2026-03-29T02:30"), shown("2026-10-25T02:30")


def test_an_ordinary_time_is_no_change_of_the_clock():
    assert clock_change(BERLIN, shown("2026-03-29T01:59")) is None
    assert clock_change(BERLIN, shown("2026-03-29T03:00")) is None


@pytest.mark.parametrize(
    ("zone", "wall", "is_gap", "at"),
    [
        (BERLIN, GAP, True, "2026-03-29T01:00Z"),
        (BERLIN, REPEAT, False, "2026-10-25T01:00Z"),
        ("Australia/Lord_Howe", shown("2026-10-04T02:15"), True, "2026-10-03T15:30Z"),
        ("America/Havana", shown("2026-03-08T00:30"), True, "2026-03-08T05:00Z"),
        ("Pacific/Apia", shown("2011-12-30T12:00"), True, "2011-12-30T10:00Z"),
    ],
)
def test_a_change_is_found_wherever_the_clock_jumps(zone, wall, is_gap, at):
    change = clock_change(zone, wall)
    assert (change.is_gap, change.at) == (is_gap, datetime.fromisoformat(at))


@pytest.mark.parametrize(
    ("timing", "wall", "rule"),
    [
        (CronTiming("30 2 * * *", BERLIN), GAP, "runs once, at the end of the gap, at 03:00"),
        (CronTiming("*/30 * * * *", BERLIN), GAP, "follows real time: nothing is made up for"),
        (CronTiming("30 2 * * *", BERLIN, gap="skip"), GAP, "set to leave out times that the clock skips"),
        (CronTiming("*/30 * * * *", BERLIN, gap="run"), GAP, "set to run what the clock skips once"),
        (CronTiming("30 2 * * *", BERLIN), REPEAT, "runs the first time only"),
        (CronTiming("*/30 * * * *", BERLIN), REPEAT, "follows real time: it runs both times"),
        (CronTiming("30 2 * * *", BERLIN, repeat="both"), REPEAT, "set to run both times"),
        (CronTiming("*/30 * * * *", BERLIN, repeat="first"), REPEAT, "the first time"),
    ],
)
def test_the_rule_is_said_and_is_what_the_engine_does(timing, wall, rule):
    change = clock_change(BERLIN, wall)
    said = say_clock_change(timing, change, wall, runs_after=True)
    assert rule in said[1]

    if change.is_gap:
        made_up = "once" in said[1]
        assert stands_for_gap(timing, change) is made_up
    else:
        instants = [wall.replace(tzinfo=HERE, fold=fold).astimezone(UTC) for fold in (0, 1)]
        starts = [any(timing.between(at, at + timedelta(minutes=1))) for at in instants]
        assert starts == ([True, False] if "first time" in said[1] else [True, True])


def test_a_jump_that_is_too_far_is_not_made_up_for():
    noon = shown("2011-12-30T12:00")
    said = say_clock_change(
        CronTiming("0 12 * * *", "Pacific/Apia"), clock_change("Pacific/Apia", noon), noon, runs_after=False
    )
    assert "jumps too far" in said[1]


@pytest.mark.parametrize(
    ("text", "at", "minutes"),
    [
        ("2026-11-21 02:30", "2026-11-21T01:30Z", 1),
        ("2026-11-21T02:30:15", "2026-11-21T01:30:15Z", 1 / 60),
        ("2026-11-21T02:30Z", "2026-11-21T02:30Z", 1),
        ("2026-11-21", "2026-11-20T23:00Z", 1),
        ("2:30", "2026-11-21T01:30Z", 1),
        ("2026-03-29 02:30", "2026-03-29T01:00Z", 1),
    ],
)
def test_a_moment_is_read_on_the_clock_of_the_zone(text, at, minutes):
    found = asked.read(text, HERE, now=NOW)
    assert found.at == datetime.fromisoformat(at)
    assert found.until - found.at == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "text", ["", "soon", "2026-13-01", "25:00", "0001-01-01", "9999-12-31T23:59", "\x00", "1" * 500, "٢:٣٠"]
)
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(TimingError, match=r"Give one such as|too far away"):
        asked.read(text, HERE, now=NOW)
