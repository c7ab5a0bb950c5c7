"""Edits by people: nothing fires because of one, one revision for each change, history is kept."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from schedules import catalog, dispatch, operate
from schedules.errors import InvalidSchedule, NotPossible, UnknownSchedule
from schedules.models import Revision, Run, Schedule
from schedules.models.schedule import COMMAND_TASK, FOREVER
from schedules.querysets import database_now
from tests.factories import claimed, due, make_later, make_policy, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db


def test_a_new_schedule_is_next_due_strictly_after_now(minute):
    schedule = make_schedule()
    assert minute < schedule.next_run_at <= minute + timedelta(minutes=2)
    assert (schedule.revision.number, schedule.revision.changed_by) == (1, "tests")


def test_the_parent_stays_valid_for_django_celery_beat():
    parent = PeriodicTask.objects.get(pk=make_schedule().pk)
    assert parent.task == COMMAND_TASK
    assert parent.schedule.run_every == timedelta(days=36_500)  # the property is the parent's own
    assert parent.beatkeeper.cron == "* * * * *"


def test_our_own_saves_announce_nothing():
    make_schedule("first")  # makes the reserved interval too
    before = PeriodicTasks.last_change()
    make_schedule()
    assert PeriodicTasks.last_change() == before


def test_saving_the_same_again_writes_no_revision():
    schedule = make_schedule()
    catalog.save(Schedule.objects.get(pk=schedule.pk), by="me")
    assert Revision.objects.count() == 1


def test_an_edit_settles_what_is_due_under_the_old_revision(minute):
    schedule = make_schedule(command="old")
    due(schedule, minute)

    edited = Schedule.objects.get(pk=schedule.pk)
    edited.command = "new"
    catalog.save(edited, by="me")

    run = Run.objects.get()
    assert run.revision.definition["command"] == "old"
    edited.refresh_from_db()
    assert edited.revision.number == 2
    assert edited.next_run_at > database_now()


def test_an_edit_of_the_timing_moves_the_next_run_and_fires_nothing():
    schedule = make_later()
    schedule = catalog.change([schedule.pk], by="me", cron="30 4 * * *")[0]
    assert (schedule.next_run_at.hour, schedule.next_run_at.minute) == (4, 30)
    assert dispatch.dispatch_due(database_now()) == 0


def test_a_stale_form_does_not_write_what_beat_owns(now, minute):
    stale = make_schedule()
    due(stale, minute)
    dispatch.dispatch_due(now)
    stale.tags = "edited"
    catalog.save(stale, by="me")
    fresh = Schedule.objects.get(pk=stale.pk)
    assert fresh.total_run_count == 1
    assert fresh.next_run_at > database_now()
    assert Run.objects.count() == 1


def test_pause_and_resume_account_for_the_gap_by_revisions():
    schedule = make_later()
    catalog.pause([schedule.pk], by="me", note="migration")
    schedule.refresh_from_db()
    assert (schedule.next_run_at, schedule.paused_until) == (None, FOREVER)

    catalog.resume([schedule.pk], by="you")
    schedule.refresh_from_db()
    assert schedule.next_run_at > database_now()
    notes = [(r.number, r.changed_by, r.note) for r in schedule.revisions.order_by("number")]
    assert notes == [(1, "tests", ""), (2, "me", "paused: migration"), (3, "you", "resumed")]


def test_a_pause_until_a_time_ends_by_itself(minute):
    schedule = make_schedule()
    until = minute + timedelta(hours=1)
    catalog.pause([schedule.pk], by="me", until=until)
    schedule.refresh_from_db()
    assert schedule.next_run_at == until


def test_enabling_does_not_make_up_for_the_time_before():
    schedule = make_later()
    catalog.disable([schedule.pk], by="me")
    schedule.refresh_from_db()
    assert schedule.next_run_at is None
    catalog.enable([schedule.pk], by="me")
    assert dispatch.dispatch_due(database_now()) == 0


def test_deleting_frees_the_name_and_keeps_the_history():
    schedule = make_schedule("nightly")
    run = make_run(schedule)
    catalog.delete([schedule.pk], by="me")

    run.refresh_from_db()
    assert (run.state, run.name, run.schedule_id) == ("cancelled", "nightly", schedule.pk)
    assert "deleted by me" in run.detail
    with pytest.raises(UnknownSchedule):
        catalog.find("nightly")
    make_schedule("nightly")


def test_a_deletion_by_others_leaves_the_history():
    run = make_run(make_schedule("nightly"))
    PeriodicTask.objects.all().delete()
    run.refresh_from_db()
    assert (run.schedule_id, run.name, run.revision_id is not None) == (None, "nightly", True)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"cron": "61 * * * *"}, "minute"),
        ({"timezone": "Mars/Phobos"}, "Mars/Phobos"),
        ({"args": "{"}, "JSON list"),
        ({"queue": "no-such-queue"}, "no-such-queue"),
        ({"command": "a\x00b"}, "NUL"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_saved(columns, said):
    with pytest.raises(InvalidSchedule, match=said):
        make_schedule(**columns)
    assert Schedule.objects.count() == PeriodicTask.objects.count() == 0


def test_the_bulk_writer_makes_the_same_rows_as_a_save():
    one = make_later("one", command="date", retry_policy=make_policy())
    policy = one.retry_policy
    [many] = catalog.create_many(
        [Schedule(name="many", cron=one.cron, timezone="UTC", command="date", retry_policy=policy)], by="x"
    )
    left, right = one.revision.definition, many.revision.definition
    assert left | {"name": ""} == right | {"name": ""}
    assert one.next_run_at == many.next_run_at


def test_an_interval_counts_from_its_creation_without_drift():
    every = IntervalSchedule.objects.create(every=7, period="seconds")
    schedule = make_schedule(cron="", interval=every)
    assert (schedule.next_run_at - schedule.anchor_at).total_seconds() == 7
    due(schedule, schedule.anchor_at + timedelta(seconds=7))
    dispatch.dispatch_due(schedule.anchor_at + timedelta(seconds=30))
    schedule.refresh_from_db()
    assert (schedule.next_run_at - schedule.anchor_at).total_seconds() == 35


def test_never_due_expressions_are_valid():
    schedule = make_schedule(cron="0 0 31 2 *")
    assert (schedule.next_run_at, schedule.timing_error) == (None, "")


def test_run_again_needs_a_finished_run_and_cancel_an_unfinished_one():
    run = make_run(make_schedule())
    with pytest.raises(NotPossible, match="not over yet"):
        operate.run_again(run, by="me")
    assert "cancelled before it started" in operate.cancel(run, by="me")
    with pytest.raises(NotPossible, match="over already"):
        operate.cancel(run, by="me")


def test_cancel_of_a_running_run_is_a_request_to_its_worker():
    run = make_run(make_schedule())
    worker = make_worker()
    claimed(run, worker)
    assert "being ended" in operate.cancel(run, by="me")
    run.refresh_from_db()
    assert Run.objects.cancel_requests([run.token]) == {run.token: True}


def test_boot_schedules_start_once_per_boot_and_only_those_older_than_it():
    schedule = make_schedule(cron="@reboot")
    report = partial(operate.note_boot, host="h", queues=["commands", "tasks"])
    early, late = schedule.anchor_at - timedelta(hours=1), schedule.anchor_at + timedelta(hours=1)

    assert report(boot_id="one", booted_at=early) == 0
    assert report(boot_id="two", booted_at=late) == 1
    assert report(boot_id="two", booted_at=late) == 0
    Run.objects.update(scheduled_for=early)  # no machine boots twice within a tick of SQLite's clock
    assert report(boot_id="three", booted_at=late) == 1
    assert Run.objects.count() == 2


def test_a_boot_schedule_that_nobody_can_read_stops_no_other():
    good, bad = make_schedule("good", cron="@reboot"), make_schedule("bad", cron="@reboot")
    later_version = bad.revision.definition | {"overlap": "replace"}
    Revision.objects.filter(pk=bad.revision_id).update(definition=later_version)
    later = good.anchor_at + timedelta(hours=1)

    assert operate.note_boot(host="h", boot_id="b", booted_at=later, queues=["commands"]) == 1

    assert Run.objects.get().schedule == good


def test_boot_schedules_of_another_queue_wait_for_a_worker_that_serves_it():
    schedule = make_schedule(cron="@reboot")
    later = schedule.anchor_at + timedelta(hours=1)
    assert operate.note_boot(host="h", boot_id="b", booted_at=later, queues=["tasks"]) == 0
    assert operate.note_boot(host="h", boot_id="b", booted_at=later, queues=["commands"]) == 1


def test_enabling_a_schedule_of_a_past_moment_fires_nothing(now):
    past = ClockedSchedule.objects.create(clocked_time=now - timedelta(days=3))
    schedule = make_schedule(cron="", clocked=past, one_off=True, enabled=False)
    catalog.enable([schedule.pk], by="me")
    schedule.refresh_from_db()
    assert schedule.next_run_at is None


def test_a_stale_form_does_not_take_back_a_newer_revision():
    stale = make_schedule()
    catalog.change([stale.pk], by="you", command="newer")
    stale.tags = "mine"
    catalog.save(stale, by="me")
    assert stale.revisions.count() == 3
