"""Due schedules become runs: what is written, what moves on, what one bad row does to the others."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from schedules import catalog, dispatch, terms
from schedules.messages.outbox import Outbox
from schedules.models import Revision, Run, Schedule
from schedules.querysets import Doorbell, database_now
from schedules.sql import opening
from tests.factories import due, make_later, make_run, make_schedule, make_task_schedule

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
    make_later()
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

    def plan(of, *args, **kwargs):
        if of.timing.expression == "*/2 * * * *":
            raise ArithmeticError("no such minute")
        return real_plan(of, *args, **kwargs)

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
    monkeypatch.setattr(terms, "KNOWN_LIMIT", 1)
    for number in range(4):
        due(make_schedule(f"job {number}"), minute)
    assert dispatch.dispatch_due(now) == 4
    assert Run.objects.count() == 4


@pytest.fixture
def outbox():
    box = Outbox(100)
    box.open()
    return box


def test_with_an_outbox_runs_are_opened_as_queued_and_left_in_it(outbox, settings, now, minute):
    settings.BEATKEEPER = {"redispatch_seconds": (30, 60)}
    command, task = make_schedule("a"), make_task_schedule("b", task="x.y", cron="* * * * *")
    for schedule in (command, task):
        due(schedule, minute)

    assert dispatch.dispatch_due(now, outbox=outbox) == 2

    for run in Run.objects.all():
        assert (run.state, run.dispatches, run.queued_at) == ("queued", 1, now)
        assert run.redispatch_at == now + timedelta(seconds=30)
    bells = outbox.take(10)
    assert {(bell.name, bell.queue, bell.dispatches) for bell in bells} == {
        ("a", "commands", 1),
        ("b", "", 1),
    }
    assert {bell.run_id for bell in bells} == set(Run.objects.values_list("pk", flat=True))


def test_what_starts_nothing_is_not_left_in_the_outbox(outbox, now, minute):
    schedule = make_schedule(mode="shadow")
    due(schedule, minute)
    dispatch.dispatch_due(now, outbox=outbox)
    assert Run.objects.get().state == "skipped"
    assert len(outbox) == 0


def test_while_the_broker_is_away_runs_wait_in_the_table(outbox, now, minute):
    due(make_schedule(), minute)
    outbox.close()
    dispatch.dispatch_due(now, outbox=outbox)
    assert (Run.objects.get().state, len(outbox)) == ("pending", 0)


def test_a_full_outbox_and_a_full_queue_leave_runs_in_the_table(settings, now, minute):
    settings.BEATKEEPER = {"doorbells": 1}
    crowded, small = Outbox(100), Outbox(0)
    for box in (crowded, small):
        box.open()
    crowded.put([Doorbell(1, 1, "other", "commands", None)])

    for name, box in (("a", crowded), ("b", small)):
        due(make_schedule(name), minute)
        dispatch.dispatch_due(now, outbox=box)

    assert set(Run.objects.values_list("state", flat=True)) == {"pending"}


def test_schedules_of_equal_terms_are_decided_once(monkeypatch, now, minute):
    asked = []
    real_plan = dispatch.occurrences._plan

    def plan(of, *args, **kwargs):
        asked.append(of.timing.expression)
        return real_plan(of, *args, **kwargs)

    monkeypatch.setattr(dispatch.occurrences, "_plan", plan)
    for number in range(5):
        due(make_schedule(f"job {number}", command=f"echo {number}"), minute)
    due(make_schedule("other", cron="*/2 * * * *"), minute)

    assert dispatch.dispatch_due(now) == 6
    assert sorted(asked) == ["* * * * *", "*/2 * * * *"]


def test_a_batch_with_many_instants_is_accounted_for_as_well(monkeypatch, now, minute):
    """After a downtime each may be due since another moment: more shapes than one statement takes."""
    monkeypatch.setattr(opening, "MOST_SHAPES", 2)
    for number in range(1, 6):
        due(make_schedule(f"job {number}", catch_up="latest"), minute - timedelta(minutes=number))

    assert dispatch.dispatch_due(now) == 5

    assert Run.objects.filter(state="pending").count() == 5
    assert sum(run.missed_count for run in Run.objects.filter(reason="missed")) == 1 + 2 + 3 + 4 + 5
    assert set(Schedule.objects.values_list("total_run_count", flat=True)) == {1}
    assert set(Schedule.objects.values_list("next_run_at", flat=True)) == {minute + timedelta(minutes=1)}


def test_several_runs_of_one_schedule_count_as_several(now, minute):
    schedule = make_schedule(catch_up="all")
    due(schedule, minute - timedelta(minutes=3))
    dispatch.dispatch_due(now)
    schedule.refresh_from_db()
    assert (Run.objects.filter(state="pending").count(), schedule.total_run_count) == (4, 4)


def test_what_will_be_due_is_learnt_ahead_in_parts(monkeypatch, django_assert_num_queries, now, minute):
    monkeypatch.setattr(terms, "STEP", 2)
    monkeypatch.setattr(terms, "_read_before", set())
    for number in range(3):
        due(make_schedule(f"job {number}", command=f"echo {uuid.uuid4()}"), minute)
    ahead = terms.Ahead()

    assert ahead.step(minute) is True
    assert ahead.step(minute) is False

    digests = dict(Revision.objects.values_list("digest", "pk"))
    with django_assert_num_queries(0):
        assert set(terms.learn(digests)) == set(digests)
