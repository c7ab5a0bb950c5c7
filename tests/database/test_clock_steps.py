"""The database's clock is set forward or back: each instant is accounted for, and nothing starts twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from schedules import catalog
from schedules.models import Run, Schedule
from tests.database.driving import Driver

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 3, 1, 8, 0, 30, tzinfo=UTC)
TWO_HOURS, MINUTE = timedelta(hours=2), timedelta(minutes=1)


@pytest.fixture
def driver(monkeypatch):
    return Driver(monkeypatch, BEGIN)


def starts():
    return list(Run.objects.exclude(state="skipped").order_by("pk").values_list("scheduled_for", flat=True))


@pytest.mark.parametrize(("policy", "late"), [("skip", 0), ("latest", 0), ("all", 100)])
def test_after_a_step_forward_the_catch_up_policy_decides_what_lies_between(driver, policy, late):
    driver.create(cron="* * * * *", catch_up=policy)
    driver.pass_time(TWO_HOURS)
    driver.beat()
    # The last of the 120 instants is half a minute old, so it is on time, and the latest.
    assert starts()[-1] == BEGIN + TWO_HOURS - MINUTE / 2
    assert len(starts()) == late + 1
    assert list(driver.audit().findings()) == []


def test_after_a_step_back_what_was_decided_does_not_start_again_and_the_audit_says_what_it_waits_for(driver):
    driver.create(cron="* * * * *", catch_up="latest")
    driver.pass_time(TWO_HOURS)
    driver.beat()
    before = starts()

    driver.pass_time(-TWO_HOURS)
    for _ in range(5):
        driver.pass_time(MINUTE)
        driver.beat()

    assert starts() == before
    assert {finding.wrong for _, finding in driver.audit().findings()} == {"wrong_next"}


def test_disabling_and_enabling_ends_the_silence_after_a_step_back(driver):
    driver.create(cron="* * * * *", catch_up="latest")
    driver.pass_time(TWO_HOURS)
    driver.beat()
    before = starts()
    driver.pass_time(-TWO_HOURS)

    driver.each(catalog.disable)
    driver.each(catalog.enable)

    first = BEGIN + MINUTE / 2
    assert Schedule.objects.get().next_run_at == first
    for _ in range(3):
        driver.pass_time(MINUTE)
        driver.beat()
    # The row of what was missed stands under the first instant: that one is accounted for.
    assert [instant for instant in starts() if instant not in before] == [first + MINUTE, first + 2 * MINUTE]


def test_when_the_clock_has_caught_up_all_goes_on(driver):
    driver.create(cron="* * * * *", catch_up="latest")
    driver.pass_time(TWO_HOURS)
    driver.beat()
    driver.pass_time(-TWO_HOURS)
    driver.beat()
    before = starts()
    for _ in range(4):
        driver.pass_time(TWO_HOURS / 4)
        driver.beat()
    driver.pass_time(MINUTE)
    driver.beat()
    assert [instant for instant in starts() if instant not in before] == [BEGIN + TWO_HOURS + MINUTE / 2]
    assert list(driver.audit().findings()) == []
