"""Due schedules become runs: what is written, what moves on, what one bad row does to the others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from schedules import catalog, dispatch, occurrences
from schedules.models import Revision, Run, Schedule
from schedules.querysets import database_now
from tests.factories import due, make_run, make_schedule

pytestmark = pytest.mark.django_db


def test_a_due_schedule_gets_a_run_and_moves_on(now, minute):
    schedule = make_schedule(command="echo hi")
    due(schedule, minute)

    assert dispatch.dispatch_due(now) == 1

    run = Run.objects.get()
    assert (run.state, run.trigger, run.scheduled_for) == ("pending", "schedule", minute)
    assert (run.name, run.queue, run.revision_id) == ("job", "commands", schedule.revision_id)
    schedule.refresh_from_db()
    assert schedule.next_run_at == minute + timedelta(minutes=1)
    assert (schedule.total_run_count, schedule.last_run_at is not None) == (1, True)


def test_nothing_due_means_nothing_done(now):
    make_schedule()
    assert dispatch.dispatch_due(now) == 0
    assert Run.objects.count() == 0


def test_disabled_and_deleted_schedules_are_passed_by(now, minute):
    disabled, deleted = make_schedule("off"), make_schedule("gone")
    for schedule in (disabled, deleted):
        due(schedule, minute)
    PeriodicTask.objects.filter(pk=disabled.pk).update(enabled=False)
    Schedule.objects.filter(pk=deleted.pk).update(deleted_at=database_now())

    assert dispatch.dispatch_due(now) == 0


def test_an_hour_of_downtime_is_one_row_under_catch_up_skip(now, minute):
    schedule = make_schedule(catch_up="skip")
    due(schedule, minute - timedelta(minutes=60))

    dispatch.dispatch_due(now)

    missed, on_time = Run.objects.order_by("scheduled_for")
    assert (missed.state, missed.reason, missed.finished_at is not None) == ("skipped", "missed", True)
    assert missed.missed_count == 60  # the last one was due 61 s ago
    assert missed.missed_until < on_time.scheduled_for


def test_a_very_long_gap_is_accounted_for_in_steps(settings, now, minute):
    settings.BEATKEEPER = {**settings.BEATKEEPER, "missed_limit": 50}
    schedule = make_schedule(catch_up="skip")
    start = minute - timedelta(minutes=120)
    due(schedule, start)

    steps = 0
    while dispatch.dispatch_due(now):
        steps += 1

    skipped = Run.objects.filter(reason="missed")
    assert steps == 3
    assert skipped.count() == 3
    assert sum(run.missed_count for run in skipped) == 120


def test_a_busy_schedule_is_skipped_with_its_reason(now, minute):
    schedule = make_schedule(overlap="skip")
    make_run(schedule)
    due(schedule, minute)

    dispatch.dispatch_due(now)

    skipped = Run.objects.get(trigger="schedule")
    assert (skipped.state, skipped.reason) == ("skipped", "overlap")


def test_a_one_off_schedule_disables_itself_in_the_same_transaction(now, minute):
    schedule = make_schedule(one_off=True)
    due(schedule, minute)

    dispatch.dispatch_due(now)

    schedule.refresh_from_db()
    assert (schedule.enabled, schedule.next_run_at) == (False, None)
    assert schedule.revision.note == "one-off: it has had its run"


def test_a_moment_that_is_past_when_saved_fires_once(now, minute):
    past = ClockedSchedule.objects.create(clocked_time=minute - timedelta(hours=2))
    schedule = make_schedule(cron="", clocked=past, one_off=True)

    assert dispatch.dispatch_due(now) == 1
    assert dispatch.dispatch_due(now) == 0

    assert Run.objects.get().scheduled_for == past.clocked_time
    schedule.refresh_from_db()
    assert not schedule.enabled


def test_the_end_of_a_schedule_ends_it(now, minute):
    schedule = make_schedule(expires=minute + timedelta(seconds=1))
    due(schedule, minute)

    dispatch.dispatch_due(now)

    schedule.refresh_from_db()
    assert Run.objects.count() == 1
    assert schedule.next_run_at is None


def test_one_bad_row_is_set_aside_and_the_others_run(monkeypatch, now, minute):
    good, bad = make_schedule("good"), make_schedule("bad", cron="*/2 * * * *")
    for schedule in (good, bad):
        due(schedule, minute)
    real_plan = dispatch.occurrences._plan

    def plan(row, *args, **kwargs):
        if row.name == "bad":
            raise ArithmeticError("no such minute")
        return real_plan(row, *args, **kwargs)

    monkeypatch.setattr(dispatch.occurrences, "_plan", plan)

    dispatch.dispatch_due(now)

    assert [run.name for run in Run.objects.all()] == ["good"]
    bad.refresh_from_db()
    assert bad.next_run_at is None
    assert "no such minute" in bad.timing_error


def test_the_number_of_statements_does_not_grow_with_the_schedules(
    django_assert_max_num_queries, now, minute
):
    counts = []
    for size in (2, 20):
        for number in range(size):
            due(make_schedule(f"{size}-{number}", cron=f"*/{number + 1} * * * *"), minute)
        with django_assert_max_num_queries(8) as captured:
            assert dispatch.dispatch_due(now) == size
        counts.append(len(captured))
    assert counts[0] == counts[1]


def test_a_revision_that_cannot_be_read_stops_nobody_else_and_can_be_disabled(now, minute):
    good, bad = make_schedule("good"), make_schedule("bad", cron="0 0 1 1 *")
    for schedule in (good, bad):
        due(schedule, minute)
    timing = bad.revision.definition["timing"] | {"timezone": "Gone/Forever"}
    Revision.objects.filter(pk=bad.revision_id).update(
        definition=bad.revision.definition | {"timing": timing}, digest="gone"
    )

    dispatch.dispatch_due(now)

    assert [run.name for run in Run.objects.all()] == ["good"]
    bad.refresh_from_db()
    assert "Gone/Forever" in bad.timing_error
    catalog.disable([bad.pk], by="me")


def test_definitions_that_are_forgotten_in_between_are_read_again(monkeypatch, now, minute):
    monkeypatch.setattr(occurrences, "KNOWN_LIMIT", 1)
    for number in range(4):
        due(make_schedule(f"job {number}"), minute)
    assert dispatch.dispatch_due(now) == 4
    assert Run.objects.count() == 4
