"""Solar schedules of django-celery-beat: due, revised when their row is edited, set aside without PyEphem."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django_celery_beat.models import PeriodicTask, SolarSchedule

from schedules import auditing, dispatch, reconcile
from schedules.admin import timings
from schedules.explaining import flow as explaining
from schedules.models import Run, Schedule
from schedules.querysets import database_now
from schedules.rules import when
from schedules.rules.timing import SolarTiming
from tests.factories import make_schedule
from tests.rules.test_solar import BERLIN

pytestmark = pytest.mark.django_db


def make_sunset() -> SolarSchedule:
    return SolarSchedule.objects.create(
        event="sunset", latitude=Decimal("52.52"), longitude=Decimal("13.405")
    )


def make_solar_schedule(**columns) -> Schedule:
    return make_schedule("lights", cron="", solar=make_sunset(), **columns)


def test_a_row_that_django_celery_beat_made_is_due_at_the_event():
    PeriodicTask.objects.create(name="lights", task="lights.on", solar=make_sunset())
    reconcile.reconcile()

    schedule = Schedule.objects.get(name="lights")

    assert schedule.timing_error == ""
    assert schedule.next_run_at == SolarTiming("sunset", *BERLIN).next_after(database_now())
    assert schedule.revision.definition["timing"] == {
        "kind": "solar",
        "event": "sunset",
        "latitude": 52.52,
        "longitude": 13.405,
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [("event", "sunrise"), ("latitude", Decimal("40.7128")), ("longitude", Decimal("-74.006"))],
)
def test_an_edit_of_the_shared_row_is_noticed(column, value):
    schedule = make_solar_schedule()
    SolarSchedule.objects.filter(pk=schedule.solar_id).update(**{column: value})

    assert reconcile.reconcile() == 1

    changed = Schedule.objects.get(pk=schedule.pk)
    stored = changed.revision.definition["timing"][column]
    assert (changed.revision.number, stored) == (2, value if column == "event" else float(value))
    assert changed.next_run_at != schedule.next_run_at


def test_a_due_event_becomes_one_run_and_the_next_day_follows():
    schedule = make_solar_schedule()
    timing = SolarTiming("sunset", *BERLIN)
    # In spring a day is not enough: each sunset comes minutes later than the last.
    due = list(timing.between(database_now() - timedelta(days=2), database_now()))[-1]
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=due)

    dispatch.dispatch_due(database_now())

    run = Run.objects.get()
    assert run.scheduled_for == due
    assert Schedule.objects.get(pk=schedule.pk).next_run_at == timing.next_after(due)


def test_without_pyephem_the_schedule_is_set_aside_and_says_what_to_install(monkeypatch):
    PeriodicTask.objects.create(name="lights", task="lights.on", solar=make_sunset())
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "ephem", None)
        reconcile.reconcile()
        schedule = Schedule.objects.get(name="lights")
        assert "pip install" in schedule.timing_error
        assert schedule.next_run_at is None


def test_the_form_shows_it_and_finds_the_row_again():
    schedule = make_solar_schedule()
    typed = timings.shown(schedule)
    assert typed.when == "sunset at 52.52, 13.405"

    timings.put(schedule, when.read(typed.when, timezone="UTC"), typed)

    assert SolarSchedule.objects.count() == 1
    assert schedule.solar == SolarSchedule.objects.get()
    assert schedule.interval is None


def test_the_audit_knows_its_instants():
    schedule = make_solar_schedule()
    assert [finding for _, finding in auditing.audit(schedules=[schedule.pk]).findings()] == []


def test_explain_says_that_the_sun_does_something_else():
    schedule = make_solar_schedule()
    tomorrow = database_now().date() + timedelta(days=1)
    told = explaining.explain(
        schedule, instant=datetime(tomorrow.year, tomorrow.month, tomorrow.day, 3, tzinfo=UTC)
    )
    assert "it runs at sunset" in told.sentence
