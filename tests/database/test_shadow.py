"""Shadow schedules: every due instant is on record, and nothing starts but what a person asks for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django_celery_beat.models import ClockedSchedule, IntervalSchedule

from schedules import catalog, dispatch, occurrences, operate, retention
from schedules.models import Run
from schedules.querysets import database_now
from tests.database.racing import PATIENCE, Pause, Racer
from tests.factories import due, make_schedule

pytestmark = pytest.mark.django_db


def shadow(name: str = "job", **columns):
    return make_schedule(name, mode="shadow", **columns)


def only_run() -> Run:
    return Run.objects.get()


def is_shadows(run: Run) -> bool:
    return (run.state, run.reason, run.attempt, run.finished_at is not None) == ("skipped", "shadow", 0, True)


def test_a_due_instant_is_recorded_when_it_is_decided_and_starts_nothing(now, minute):
    schedule = shadow()
    due(schedule, minute)

    dispatch.dispatch_due(now)

    run = only_run()
    assert is_shadows(run)
    assert (run.scheduled_for, run.created_at) == (minute, now)
    schedule.refresh_from_db()
    assert (schedule.total_run_count, schedule.last_run_at) == (0, None)
    assert schedule.next_run_at == minute + timedelta(minutes=1)


def test_intervals_and_moments_are_recorded_too(now, minute):
    every = IntervalSchedule.objects.create(every=10, period="minutes")
    moment = ClockedSchedule.objects.create(clocked_time=minute)
    beaten = shadow("interval", cron="", interval=every, anchor_at=minute - timedelta(minutes=10))
    due(beaten, minute)
    shadow("moment", cron="", clocked=moment, one_off=True)

    dispatch.dispatch_due(now)

    assert sorted(run.name for run in Run.objects.all() if is_shadows(run)) == ["interval", "moment"]


def test_a_one_off_shadow_has_had_no_run_and_goes_on(now, minute):
    schedule = shadow(one_off=True)
    due(schedule, minute)

    dispatch.dispatch_due(now)

    schedule.refresh_from_db()
    assert (schedule.enabled, schedule.next_run_at) == (True, minute + timedelta(minutes=1))


@pytest.mark.parametrize("catch_up", ["skip", "latest", "all"])
def test_after_a_downtime_what_would_be_made_up_for_is_recorded_and_not_started(now, minute, catch_up):
    schedule = shadow(catch_up=catch_up)
    due(schedule, minute - timedelta(minutes=30))

    dispatch.dispatch_due(now)

    runs = list(Run.objects.all())
    assert {run.state for run in runs} == {"skipped"}
    would_start = sum(run.reason == "shadow" for run in runs)
    assert (would_start > 2) == (catch_up == "all")
    assert sum(max(run.missed_count, 1) for run in runs) == 31


def test_a_boot_is_recorded_once():
    schedule = shadow(cron="@reboot")
    later = schedule.anchor_at + timedelta(hours=1)

    for _ in range(2):
        operate.note_boot(host="h", boot_id="b", booted_at=later, queues=["commands"])

    assert is_shadows(only_run())


def test_run_now_runs_because_a_person_asked():
    run = operate.run_now(shadow(), by="me")
    assert (run.state, run.trigger) == ("pending", "manual")


def test_what_was_due_before_it_went_live_is_the_shadows(minute):
    schedule = shadow()
    due(schedule, minute)

    catalog.make_live([schedule.pk], by="me")

    assert is_shadows(only_run())
    schedule.refresh_from_db()
    assert (schedule.mode, schedule.next_run_at) == ("live", minute + timedelta(minutes=1))


def test_what_was_due_before_it_became_a_shadow_is_started(minute):
    schedule = make_schedule()
    due(schedule, minute)

    catalog.make_shadow([schedule.pk], by="me")

    assert only_run().state == "pending"


def test_after_it_went_live_the_next_instant_starts(now, minute):
    schedule = shadow()
    due(schedule, minute)
    catalog.make_live([schedule.pk], by="me")

    dispatch.dispatch_due(now + timedelta(minutes=1))

    assert [run.state for run in Run.objects.order_by("scheduled_for")] == ["skipped", "pending"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("before", "after", "state"), [("shadow", "live", "skipped"), ("live", "shadow", "pending")]
)
def test_a_beat_beside_the_change_of_mode_decides_nothing_twice(
    monkeypatch, now, minute, before, after, state
):
    """The editor has settled the due instant under the old mode, and holds the row, when the beat looks."""
    schedule = make_schedule(mode=before)
    due(schedule, minute)
    pause = Pause(occurrences.settle)
    monkeypatch.setattr(occurrences, "settle", pause)

    editor = Racer(lambda: catalog.change([schedule.pk], by="me", mode=after))
    assert pause.reached.wait(PATIENCE)
    beat = Racer(lambda: dispatch.dispatch_due(now))
    if connection.vendor == "postgresql":
        assert beat.result == 0  # the row is held: passed by
    pause.go.set()
    editor.result  # noqa: B018 - raises what the editor raised
    assert beat.result == 0

    [run] = Run.objects.all()
    assert (run.scheduled_for, run.state) == (minute, state)
    schedule.refresh_from_db()
    assert (schedule.mode, schedule.next_run_at) == (after, minute + timedelta(minutes=1))


def test_old_shadow_runs_go_as_skipped_ones_do(settings, now, minute):
    settings.BEATKEEPER = {"retention_days": 30, "retention_runs": 2}
    schedule = shadow(catch_up="all")
    due(schedule, minute - timedelta(minutes=9))
    dispatch.dispatch_due(now)
    Run.objects.update(finished_at=database_now() - timedelta(days=60))

    pruner = retention.Pruner()
    while pruner.step(database_now()):
        pass

    assert Run.objects.count() == 2
