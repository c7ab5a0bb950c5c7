"""Lengths and moments in words, and what changed between two definitions."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from schedules.admin import changes, timings, words
from schedules.models import Attempt
from schedules.models.schedule import FOREVER
from schedules.rules.states import Outcome
from schedules.rules.when import read

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (2.512, "2.51 s"),
        (28, "28 s"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (3600 + 300, "1 h 5 min"),
        (12 * 86_400 + 4 * 3600 + 59, "12 d 4 h"),
        (-5, "0 ms"),
        (None, ""),
    ],
)
def test_lengths_have_at_most_two_units(seconds, said):
    assert words.length(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (28, "in 28 s"),
        (-28, "28 s ago"),
        (0.2, "now"),
        (119, "in 119 s"),
        (120, "in 2 min"),
        (-3 * 86_400, "3 d ago"),
    ],
)
def test_distances_have_one_unit(seconds, said):
    assert words.relative(NOW + timedelta(seconds=seconds), NOW) == said


def test_an_end_by_a_limit_is_told_by_the_limit_and_not_by_the_signal():
    error = "Ended by its limit of 60 s of processor time."
    attempt = Attempt(outcome=Outcome.FAILED, signal=15, error_class="over_limit", error=error)

    assert words.ending(attempt) == "ended by its limit of 60 s of processor time."


def test_moments_name_their_zone():
    assert words.absolute(NOW, ZoneInfo("Europe/Berlin")) == "Sat 2026-11-21 13:00 CET"


def test_the_end_of_the_calendar_is_a_moment_too():
    last = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)

    assert words.absolute(last, ZoneInfo("Asia/Tokyo")) == "Fri 9999-12-31 23:59 UTC"


def test_the_preview_marks_the_run_before_which_the_clocks_change():
    typed = timings.Typed("30 12 * * *", "cron", "Europe/Berlin")
    before = datetime(2026, 3, 27, 12, tzinfo=UTC)  # the clocks go forward on the 29th

    shown = timings.preview(read(typed.when, timezone=typed.timezone), typed, now=before, anchor=before)

    assert [due.mark for due in shown.due] == ["", "the clocks change before this one", "", "", ""]


def test_an_interval_with_a_start_counts_from_it():
    typed = timings.Typed("every 2 hours", "cron", "UTC")
    start = NOW + timedelta(hours=1)

    shown = timings.preview(read("every 2 hours", timezone="UTC"), typed, now=NOW, anchor=NOW, start=start)

    assert [due.relative for due in shown.due][:2] == ["in 60 min", "in 3 h"]


def test_changes_are_named_and_shown_as_people_know_them():
    before = {
        "command": "a\u202e",
        "timing": {"kind": "none"},
        "retry": {"max_attempts": 1},
        "run_as": "",
        "shell": "",
    }
    after = before | {
        "command": "b",
        "timing": {"kind": "cron", "expression": "5 4 * * *", "timezone": "UTC", "dialect": "cron"},
        "retry": {"name": "patient", "max_attempts": 3, "delays": [30, 300]},
        "run_as": "bob",
    }

    found = {change.field: (change.before, change.after) for change in changes.between(before, after)}

    assert found == {
        "command": ("a⟨U+202E⟩", "b"),
        "when": ("by hand only", "5 4 * * * (UTC): at 04:05 every day"),
        "retries": ("one attempt", "patient, 3 attempts, waits 30 s, 300 s"),
        "account": ("–", "bob"),
    }


def test_a_stored_timing_that_cannot_be_read_says_so():
    assert "unknown kind" in changes.shown("timing", {"kind": "lunar"})


def test_a_pause_without_an_end_is_no_date():
    paused = changes.between({"paused_until": ""}, {"paused_until": FOREVER.isoformat()})

    assert [(change.field, change.after) for change in paused] == [("paused until", "somebody resumes it")]
