"""The stored side of the equivalence report, its comparison with cron's, and the causes in words."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schedules.rules import daemon
from schedules.rules.daemon import Window
from schedules.rules.daemon.clock import spells
from schedules.rules.definition import Background, CatchUp, Definition, Kind, Overlap
from schedules.rules.equivalence import Differing, Minutes, Stored, compare, stored_minutes
from schedules.rules.equivalence.causes import Claim, clock_note, notes, timing_causes, work_causes
from schedules.rules.retry import RetryPolicy
from schedules.rules.timing import (
    BootTiming,
    CronTiming,
    IntervalTiming,
    MomentTiming,
    NoTiming,
    Timing,
    WindowTiming,
    to_dict,
)
from tests.rules.cron_samples import random_expression

YEAR = Window.of_years(datetime(2026, 11, 21, 4, 30, tzinfo=UTC), 1)
ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata"),
    *("Africa/Casablanca", "Antarctica/Troll", "Pacific/Chatham", "UTC"),
)


@pytest.mark.parametrize("zone", ZONES)
def test_engine_and_daemon_agree_over_a_year(zone):
    chance = random.Random(zone)
    for line in ("* * * * *", "@daily", *(random_expression(chance) for _ in range(15))):
        by_cron = daemon.starts(daemon.read(line), zone, YEAR)
        stored = stored_minutes(Stored(CronTiming(line, zone)), YEAR)

        assert compare(by_cron, stored, YEAR).is_identical, line


@pytest.mark.parametrize("zone", ZONES)
def test_the_minutes_of_a_timing_are_its_instants(zone):
    timing = CronTiming("*/7 0-5 * * *", zone)

    minutes = stored_minutes(Stored(timing), YEAR)

    assert [YEAR.instant(bit) for bit in daemon.minutes_of(minutes.bits)] == list(
        timing.between(YEAR.start, YEAR.end)
    )


DAILY = CronTiming("0 6 * * *", "UTC")
NOON_OF_NEW_YEAR = datetime(2027, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stored", "count"),
    [
        (Stored(DAILY), 365),
        (Stored(DAILY, enabled=False), 0),
        (Stored(DAILY, once=True), 1),
        (Stored(DAILY, resumes_at=NOON_OF_NEW_YEAR), 365 - 42),  # ten days of November, December, 1 January
        (Stored(DAILY, resumes_at=datetime(9999, 12, 31, tzinfo=UTC)), 0),
        (Stored(DAILY, resumes_at=datetime(2026, 1, 1, tzinfo=UTC)), 365),
        (Stored(WindowTiming(DAILY, not_before=datetime(2027, 1, 1, 6, tzinfo=UTC))), 365 - 41),
        (Stored(WindowTiming(DAILY, not_after=datetime(2027, 1, 1, 6, tzinfo=UTC))), 41),
        (Stored(WindowTiming(DAILY, not_after=datetime(2026, 1, 1, tzinfo=UTC))), 0),
        (Stored(IntervalTiming(timedelta(days=1), datetime(2026, 1, 1, tzinfo=UTC))), 365),
        (Stored(MomentTiming(NOON_OF_NEW_YEAR)), 1),
        (Stored(NoTiming()), 0),
        (Stored(BootTiming()), 0),
        (Stored(None), 0),
    ],
)
def test_what_keeps_a_schedule_from_starting_is_seen(stored, count):
    assert stored_minutes(stored, YEAR).bits.bit_count() == count


def test_an_interval_within_the_minute_is_not_taken_for_full_minutes():
    every_20_seconds = IntervalTiming(timedelta(seconds=20), datetime(2026, 1, 1, tzinfo=UTC))

    minutes = stored_minutes(Stored(every_20_seconds), YEAR)

    assert minutes.off_minute == YEAR.start + timedelta(seconds=20)
    assert not compare(minutes.bits, minutes, YEAR).is_identical


def test_the_first_instants_that_differ_are_named_with_the_side_that_has_them():
    window = Window(datetime(2026, 1, 1, tzinfo=UTC), 60)

    found = compare(0b0110_0001, Minutes(0b1100_0001), window)

    assert (found.instants, found.only_cron, found.only_stored) == (3, 1, 1)
    assert found.first == (
        Differing(window.instant(5), by_cron=True),
        Differing(window.instant(7), by_cron=False),
    )


def test_spells_leave_out_no_minute():
    """Every real minute of a window is one in which the daemon deals with something."""
    first, last = YEAR.first, YEAR.last
    for zone in ZONES:
        at = sorted((spell.at, 1 if spell.at_once else spell.count) for spell in spells(zone, first, last))
        reached = first
        for begin, count in at:
            assert begin <= reached, zone
            reached = max(reached, begin + count)
        assert reached == last, zone


CLAIM = Claim(
    expression="30 2 * * *",
    zone="Europe/Berlin",
    dialect="cron",
    command="backup",
    stdin=None,
    environment=(("PATH", "/bin"),),
    account="ada",
)


SAME = CronTiming("30 2 * * *", "Europe/Berlin")


def definition(timing: Timing = SAME, **other: Any) -> Definition:
    given = {
        "name": "backup",
        "kind": Kind.COMMAND,
        "command": "backup",
        "environment": (("PATH", "/bin"),),
        "run_as": "ada",
        "catch_up": CatchUp.SKIP,
        "background": Background.KEEP,
        "timing": to_dict(timing),
    }
    return Definition(**{**given, **other})


def test_a_schedule_that_says_what_the_line_says_differs_in_nothing():
    assert timing_causes(CLAIM, definition()) == []
    assert work_causes(CLAIM, definition()) == []
    assert notes(definition()) == []


@pytest.mark.parametrize(
    ("changed", "part", "words"),
    [
        (definition(CronTiming("45 2 * * *", "Europe/Berlin")), "expression", "another minute"),
        (definition(CronTiming("30 2 * * *", "UTC")), "timezone", "its zone is UTC"),
        (definition(CronTiming("30 2 * * *", "Europe/Berlin", "celery")), "dialect", "celery"),
        (definition(CronTiming("30 2 * * *", "Europe/Berlin", gap="skip")), "gap", "skip"),
        (definition(CronTiming("30 2 * * *", "Europe/Berlin", repeat="both")), "repeat", "both"),
        (definition(IntervalTiming(timedelta(hours=1), YEAR.start)), "timing kind", "every hour"),
        (definition(WindowTiming(DAILY, not_after=YEAR.end)), "not_after", "2027-11-21"),
        (definition(enabled=False), "enabled", "disabled"),
        (definition(paused_until="9999-12-31T00:00:00+00:00"), "paused_until", "resumes"),
        (definition(one_off=True), "one_off", "first run"),
    ],
)
def test_what_changes_the_instants_is_named(changed, part, words):
    causes = {cause.part: cause.text for cause in timing_causes(CLAIM, changed)}

    assert words in causes[part]


@pytest.mark.parametrize(
    ("changed", "part", "words"),
    [
        (definition(command="other"), "command", '"other"'),
        (definition(stdin="x\n"), "stdin", "standard input"),
        (definition(environment=(("PATH", "/secret"), ("A", "b"))), "environment", "A, PATH"),
        (definition(shell="/bin/zsh"), "shell", "/bin/zsh; cron's is /bin/sh"),
        (definition(run_as=""), "run_as", "the worker's account"),
        (definition(working_directory="/tmp"), "working_directory", "/tmp; cron starts it in HOME"),
        (definition(kind=Kind.TASK, task="shop.clean"), "kind", "shop.clean"),
    ],
)
def test_what_changes_the_work_is_named_and_no_value_of_the_environment(changed, part, words):
    causes = {cause.part: cause.text for cause in work_causes(CLAIM, changed)}

    assert list(causes) == [part]
    assert words in causes[part]
    assert "/secret" not in causes[part]


@pytest.mark.parametrize(
    "changed",
    [
        definition(overlap=Overlap.SKIP),
        definition(catch_up=CatchUp.LATEST),
        definition(timeout=60.0),
        definition(memory_limit=512),
        definition(cpu_limit=60),
        definition(file_size_limit=0),
        definition(start_deadline=60.0),
        definition(background=Background.KILL),
        definition(retry=RetryPolicy(max_attempts=3)),
    ],
)
def test_policies_are_notes(changed):
    assert timing_causes(CLAIM, changed) == work_causes(CLAIM, changed) == []
    assert len(notes(changed)) == 1


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2026, 3, 29, 1, tzinfo=UTC), "the clock goes from 02:00 to 03:00"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "the clock goes from 03:00 to 02:00"),
        (datetime(2026, 6, 1, tzinfo=UTC), ""),
    ],
)
def test_a_change_of_the_clock_near_an_instant_is_told(moment, words):
    assert clock_note("Europe/Berlin", daemon.minute_of(moment)) == words
