"""Rows that others write become working schedules; saving the same thing again leaves one revision."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from celery import current_app
from celery.schedules import crontab
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from schedules import beat, dispatch, reconcile, revisions
from schedules.models import Revision, Run, Schedule
from schedules.querysets import database_now
from tests.factories import due, make_policy, make_schedule

pytestmark = pytest.mark.django_db


def every_five() -> CrontabSchedule:
    return CrontabSchedule.objects.get_or_create(minute="*/5", timezone="UTC")[0]


def make_periodic(name: str = "theirs", **columns) -> PeriodicTask:
    given = {"task": "reports.daily", "crontab": every_five()} | columns
    return PeriodicTask.objects.create(name=name, **given)


def test_a_row_of_django_celery_beat_becomes_a_schedule():
    make_periodic()
    reconcile.reconcile()

    schedule = Schedule.objects.get()
    assert (schedule.kind, schedule.timing_error) == ("task", "")
    assert schedule.next_run_at > database_now()
    assert schedule.next_run_at.minute % 5 == 0
    assert schedule.revision.changed_by == revisions.OUTSIDE


@pytest.mark.django_db(transaction=True)
def test_a_signal_makes_the_usual_case_immediate():
    assert make_periodic().beatkeeper.next_run_at is not None


def test_the_same_thing_saved_at_every_deploy_leaves_one_revision():
    for _ in range(3):
        PeriodicTask.objects.update_or_create(
            name="theirs", defaults={"task": "reports.daily", "crontab": every_five()}
        )
        reconcile.reconcile()
    assert Revision.objects.count() == 1


def test_nothing_changed_means_nothing_touched(django_assert_num_queries):
    make_periodic()
    reconcile.reconcile()
    with django_assert_num_queries(3):
        assert reconcile.reconcile() == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_no_comparison_takes_in_more_than_a_window(monkeypatch, count):
    """PostgreSQL keeps the material of a whole comparison: over all schedules it ran out of memory."""
    monkeypatch.setattr(reconcile, "WINDOW", 2)
    for number in range(count):
        make_periodic(f"theirs {number}")
    reconcile.reconcile()

    taken_in = [Schedule.objects.filter(window).count() for window in reconcile._windows()]
    assert sum(taken_in) == count
    assert max(taken_in) <= 2

    PeriodicTask.objects.update(args="[1]")
    assert reconcile.reconcile() == count
    assert reconcile.reconcile() == 0


def test_a_bulk_update_is_found_and_moves_the_next_run():
    make_periodic()
    reconcile.reconcile()
    hourly = CrontabSchedule.objects.create(minute="7", timezone="UTC")
    PeriodicTask.objects.update(crontab=hourly)

    assert reconcile.reconcile() == 1
    assert Schedule.objects.get().next_run_at.minute == 7


def test_a_shared_crontab_edited_in_place_moves_all_its_schedules():
    make_periodic("a"), make_periodic("b")
    reconcile.reconcile()
    CrontabSchedule.objects.update(minute="13")

    assert reconcile.reconcile() == 2
    assert {schedule.next_run_at.minute for schedule in Schedule.objects.all()} == {13}


def test_blanks_inside_a_crontab_column_are_no_separators():
    make_periodic(crontab=CrontabSchedule.objects.create(minute="7, 37", timezone="UTC"))
    reconcile.reconcile()
    schedule = Schedule.objects.get()
    assert schedule.timing_error == ""
    assert schedule.next_run_at.minute in (7, 37)


def test_an_edit_that_is_not_about_time_moves_nothing():
    make_periodic()
    reconcile.reconcile()
    before = Schedule.objects.get().next_run_at
    PeriodicTask.objects.update(args="[1]")
    reconcile.reconcile()
    schedule = Schedule.objects.get()
    assert (schedule.next_run_at, schedule.revision.number) == (before, 2)


def test_what_was_due_before_an_outside_edit_runs_under_the_old_revision(minute):
    make_periodic()
    reconcile.reconcile()
    schedule = Schedule.objects.get()
    due(schedule, minute.replace(minute=minute.minute // 5 * 5))
    PeriodicTask.objects.update(args="[1]")
    reconcile.reconcile()
    assert Run.objects.first().revision.number == 1


def test_disabling_elsewhere_stops_and_enabling_elsewhere_fires_nothing():
    make_periodic()
    reconcile.reconcile()
    PeriodicTask.objects.update(enabled=False)
    reconcile.reconcile()
    assert Schedule.objects.get().next_run_at is None
    PeriodicTask.objects.update(enabled=True)
    reconcile.reconcile()
    assert Schedule.objects.get().next_run_at > database_now()
    assert Run.objects.count() == 0


def test_another_timing_on_the_parent_wins_over_our_cron_text():
    schedule = make_schedule(cron="1 1 1 1 *")
    PeriodicTask.objects.filter(pk=schedule.pk).update(interval=None, crontab=every_five())
    reconcile.reconcile()
    schedule.refresh_from_db()
    assert schedule.cron == ""
    assert schedule.next_run_at.minute % 5 == 0


def test_an_unusable_row_says_why_and_does_not_stop_the_others():
    make_periodic("bad", args="not json"), make_periodic("good")
    reconcile.reconcile()
    bad, good = Schedule.objects.get(name="bad"), Schedule.objects.get(name="good")
    assert (bad.next_run_at, good.next_run_at is None) == (None, False)
    assert "args is not a JSON list" in bad.timing_error


def test_a_number_that_no_database_keeps_sets_its_row_aside_alone():
    bad, good = make_schedule("bad"), make_schedule("good")
    Schedule.objects.filter(pk=bad.pk).update(timeout=float("inf"))
    Schedule.objects.filter(pk=good.pk).update(command="echo changed")
    reconcile.reconcile()
    bad, good = Schedule.objects.get(pk=bad.pk), Schedule.objects.get(pk=good.pk)
    assert bad.next_run_at is None
    assert "not JSON compliant" in bad.timing_error
    assert good.revision.definition["command"] == "echo changed"


def test_empty_arguments_are_none_as_they_are_to_django_celery_beat():
    make_periodic(args="", kwargs="")
    reconcile.reconcile()
    definition = Schedule.objects.get().revision.definition
    assert (definition["args"], definition["kwargs"]) == ("[]", "{}")


def test_a_repaired_row_works_again():
    make_periodic("bad", args="not json")
    reconcile.reconcile()
    PeriodicTask.objects.update(args="[]")
    reconcile.reconcile()
    schedule = Schedule.objects.get()
    assert schedule.timing_error == ""
    assert schedule.next_run_at > database_now()


def test_a_changed_retry_policy_gives_its_schedules_a_new_revision():
    policy = make_policy()
    schedule = make_schedule(retry_policy=policy)
    policy.max_attempts = 9
    policy.save()
    reconcile.reconcile()
    schedule.refresh_from_db()
    assert schedule.revision.definition["retry"]["max_attempts"] == 9


def test_a_start_time_is_honoured(minute):
    start = minute + timedelta(days=2)
    make_periodic(start_time=start)
    reconcile.reconcile()
    assert Schedule.objects.get().next_run_at >= start


def test_announcements_are_noticed_whichever_way_the_clock_goes(minute):
    reconciler = reconcile.Reconciler()
    assert reconciler.is_announced()
    assert not reconciler.is_announced()
    PeriodicTasks.update_changed()
    assert reconciler.is_announced()
    PeriodicTasks.objects.update(last_update=minute - timedelta(days=1))
    assert reconciler.is_announced()


def test_entries_of_the_celery_configuration_become_schedules(monkeypatch):
    entries = {
        "from-code": {"task": "reports.daily", "schedule": crontab(minute="30"), "args": (1,)},
        "broken": {"task": "reports.daily"},
        "long" * 100: {"task": "reports.daily", "schedule": 60.0},  # an error on PostgreSQL
        "each-minute": {"task": "reports.daily", "schedule": 60.0},
    }
    monkeypatch.setitem(current_app.conf, "beat_schedule", entries)
    for _ in range(2):
        engine = beat.Engine(current_app)
        engine._install_entries()
        reconcile.reconcile()

    found = {schedule.name: schedule for schedule in Schedule.objects.select_related("revision")}
    assert set(found) - {"long" * 100} == {"from-code", "each-minute"}
    assert found["from-code"].next_run_at.minute == 30
    assert {found[name].revision.number for name in ("from-code", "each-minute")} == {1}


@pytest.mark.parametrize(("took", "rest"), [(0.1, 180), (3, 300), (60, 900)])
def test_a_comparison_that_takes_long_is_made_more_seldom(monkeypatch, took, rest):
    clock = SimpleNamespace(seconds=1000.0)
    compared = []

    def compare():
        clock.seconds += took
        compared.append(clock.seconds)

    monkeypatch.setattr(beat, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    monkeypatch.setattr(reconcile, "reconcile", compare)
    engine = beat.Engine(current_app)
    monkeypatch.setattr(engine.reconciler, "is_announced", lambda: False)
    for seconds in (0, rest - 1, 2):
        clock.seconds += seconds
        engine._upkeep()

    assert len(compared) == 2


def test_an_adopted_row_runs():
    interval = IntervalSchedule.objects.create(every=10, period="seconds")
    make_periodic(crontab=None, interval=interval)
    reconcile.reconcile()
    assert dispatch.dispatch_due(database_now() + timedelta(seconds=11)) == 1
    assert Run.objects.get().name == "theirs"
