"""`next_runs --cron`: dialects, clock changes, and what is refused."""

from __future__ import annotations

import pytest

from schedules.rules.cron.seed import chosen
from tests.factories import make_schedule

pytestmark = pytest.mark.django_db


def test_a_dialect_is_taken_by_its_name(call):
    shown = call("next_runs", "--cron", "*/20 30 2 L * ?", "--dialect", "extended", "--count", "3", "--json")

    assert [found["scheduled_for"][-7:] for found in shown.json] == [":30:00Z", ":30:20Z", ":30:40Z"]


def test_rules_for_clock_changes_are_said(call):
    shown = call("next_runs", "--cron", "30 2 * * *", "--gap", "skip", "--repeat", "both")

    assert "skipped times are left out and repeated times run twice" in shown.out


def test_h_is_that_of_the_schedule_that_is_named(call):
    shown = call("next_runs", "--cron", "H 4 * * *", "--dialect", "extended", "--seed", "backup")

    assert f"at 04:{chosen('backup', 'minute', 60):02} every day" in shown.out


@pytest.mark.parametrize(
    ("arguments", "status", "why"),
    [
        (("--cron", "0 0 12 * * ?"), 1, "the extended dialect takes the second as a sixth"),
        (("--cron", "0 22-2 * * *", "--dialect", "cronie"), 1, "hour range 22-2 is reversed"),
        (("--cron", "* * * * *", "--dialect", "quartz"), 1, "known are: cron, cronie, celery, extended"),
        (("backup", "--gap", "skip"), 2, "--gap goes with --cron"),
        (("backup", "--dialect", "cron"), 2, "--dialect goes with --cron"),
    ],
)
def test_refusals_are_one_sentence(call, arguments, status, why):
    make_schedule("backup")

    result = call("next_runs", *arguments)

    assert (result.status, result.out) == (status, "")
    assert why in result.err
