"""New time zone data: what is due next moves with them, and nothing that was due is lost or doubled."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from django_celery_beat.models import IntervalSchedule

from schedules import catalog, dispatch, retention, zone_data, zones
from schedules.models import Revision, Run, Schedule, ZoneData
from schedules.querysets import database_now
from schedules.rules.cron import clock
from tests.factories import make_run, make_schedule

pytestmark = pytest.mark.django_db

OLD, NEW = "2025a", "2026f"


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The version of this process's data; the data themselves are the real ones."""
    monkeypatch.setattr(zone_data, "version", lambda: NEW)


def computed_with(version):
    ZoneData.objects.create(version=version, computed_at=database_now())


def recompute():
    recomputer = zones.Recomputer()
    while recomputer.step():
        pass


def moved(schedule, hours):
    """As if older data had put its next instant `hours` later."""
    right = Schedule.objects.get(pk=schedule.pk).next_run_at
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=right + timedelta(hours=hours))
    return right


def next_run(schedule):
    return Schedule.objects.get(pk=schedule.pk).next_run_at


@pytest.fixture
def daily():
    noonish = (database_now() + timedelta(hours=6)).replace(minute=30)
    return make_schedule(cron=f"30 {noonish.hour} * * *", timezone="UTC")


def test_the_first_start_only_notes_the_version(daily):
    wrong = moved(daily, 1) + timedelta(hours=1)
    recompute()
    assert (ZoneData.objects.get().version, next_run(daily)) == (NEW, wrong)


@pytest.mark.parametrize("hours", [1, -1])
def test_the_next_instant_moves_where_the_new_data_put_it(daily, hours):
    computed_with(OLD)
    right = moved(daily, hours)
    recompute()
    assert (ZoneData.objects.get().version, next_run(daily)) == (NEW, right)


@pytest.mark.parametrize("known", [NEW, "2027a"])
def test_data_that_are_as_old_or_older_change_nothing(daily, known):
    computed_with(known)
    wrong = moved(daily, 1) + timedelta(hours=1)
    recompute()
    assert (ZoneData.objects.get().version, next_run(daily)) == (known, wrong)


def test_what_is_due_is_accounted_for_under_the_old_instant_first(daily):
    computed_with(OLD)
    due_at = database_now().replace(microsecond=0) - timedelta(seconds=5)
    Schedule.objects.filter(pk=daily.pk).update(next_run_at=due_at)
    recompute()
    assert Run.objects.get(schedule=daily).scheduled_for == due_at
    assert next_run(daily) > database_now()


def test_an_instant_that_moved_into_the_past_is_not_lost():
    """The old data said: in an hour. The new ones: half an hour ago."""
    now = database_now()
    half_an_hour_ago = (now - timedelta(minutes=30)).replace(second=0, microsecond=0)
    fields = f"{half_an_hour_ago.minute} {half_an_hour_ago.hour} * * *"
    schedule = make_schedule(cron=fields, timezone="UTC", catch_up="latest")
    before = now - timedelta(days=1)
    schedule.revision.changed_at = before
    schedule.revision.save(update_fields=["changed_at"])
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=now + timedelta(hours=1))
    computed_with(OLD)
    recompute()
    assert next_run(schedule) == half_an_hour_ago
    dispatch.dispatch_due(database_now(), by="test")
    run = Run.objects.get(schedule=schedule)
    assert (run.scheduled_for, run.trigger) == (half_an_hour_ago, "catch_up")


def test_an_instant_that_has_its_run_does_not_get_another():
    now = database_now()
    this_minute = now.replace(second=0, microsecond=0)
    # Hourly: what comes next must not fall due before the test is over.
    schedule = make_schedule(cron=f"{this_minute.minute} * * * *", timezone="UTC")
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=this_minute)
    dispatch.dispatch_due(now, by="test")
    following = next_run(schedule)
    computed_with(OLD)
    recompute()
    assert next_run(schedule) == following
    assert Run.objects.filter(schedule=schedule).count() == 1


def test_a_paused_schedule_stays_paused(daily):
    until = database_now() + timedelta(days=3)
    catalog.pause([daily.pk], by="tests", until=until)
    computed_with(OLD)
    moved(daily, 1)
    recompute()
    assert next_run(daily) > until


def test_a_schedule_that_was_set_aside_for_its_zone_is_taken_up_again(daily):
    Schedule.objects.filter(pk=daily.pk).update(timing_error="no such zone", next_run_at=None)
    computed_with(OLD)
    recompute()
    daily.refresh_from_db()
    assert (daily.timing_error, daily.next_run_at > database_now()) == ("", True)


def test_a_zone_that_is_gone_sets_its_schedule_aside_and_no_other(daily, monkeypatch):
    gone = make_schedule("gone", cron="0 5 * * *", timezone="Europe/Kyiv")
    computed_with(OLD)
    right = moved(daily, 1)

    def zone(key):
        if key == "Europe/Kyiv":
            raise zoneinfo.ZoneInfoNotFoundError(key)
        return zoneinfo.ZoneInfo(key)

    monkeypatch.setattr(clock, "ZoneInfo", zone)
    clock.zone.cache_clear()
    recompute()
    gone.refresh_from_db()
    assert (next_run(daily), gone.next_run_at) == (right, None)
    assert "Europe/Kyiv" in gone.timing_error


def test_an_interval_knows_no_zone(daily):
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    schedule = make_schedule("interval", cron="", interval=hourly)
    wrong = datetime(2099, 1, 1, tzinfo=UTC)
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=wrong)
    computed_with(OLD)
    recompute()
    assert next_run(schedule) == wrong


def test_an_instant_whose_run_has_been_deleted_is_not_started_again():
    """A weekly job that keeps its runs for a day: two days later nothing tells that it ran."""
    now = database_now()
    at = (now - timedelta(hours=30)).replace(second=0, microsecond=0)
    cron = f"{at.minute} {at.hour} * * {at.isoweekday() % 7}"
    weekly = make_schedule(cron=cron, timezone="UTC", catch_up="latest", keep_days=1, keep_runs=0)
    Revision.objects.update(changed_at=now - timedelta(days=90))
    ended = {"state": "succeeded", "attempt": 1, "started_at": at, "finished_at": at, "created_at": at}
    make_run(weekly, trigger="schedule", scheduled_for=at, **ended)
    list(retention.prune(None, now, limit=1000))
    assert not Run.objects.exists()
    computed_with(OLD)

    recomputer = zones.Recomputer()
    while recomputer.step():
        pass
    dispatch.dispatch_due(database_now())

    assert not Run.objects.exists()
