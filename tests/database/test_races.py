"""The races of the transition table, with two real connections: whoever comes first, the rows stay right.

Each race and its tests; those about occurrences are here, the others where the head of a group says.
`racing.meet` brings both sides into all four orders: each holds its lock while the other comes, each
has read before the other writes. What a worker left in its spool races in tests/worker.

    occurrences (T1), this module
      two beats, one due row            test_two_beats_give_each_due_instant_one_run
                                        test_two_beats_and_one_due_row_make_one_run
      two beats, a one-off              test_two_beats_give_a_one_off_its_one_run
      beat dies before its commit       test_a_beat_that_dies_before_its_commit_has_done_nothing
      beat, edit                        test_beat_against_edit_accounts_for_the_instant_under_the_old_revision
                                        test_an_edit_reads_the_clock_when_it_has_the_lock
      beat, pause | disable | delete    test_beat_against_what_stops_a_schedule_accounts_for_what_was_due
      beat, reconcile                   test_beat_against_reconcile_uses_the_revision_of_the_instant
      beat, manual run                  test_a_manual_run_and_a_dispatch_do_not_disturb_each_other
      two editors                       test_two_edits_of_one_schedule_both_stay
      editor, delete                    test_a_form_that_is_saved_against_delete_revives_nothing
      two workers, one boot             test_two_workers_that_see_one_boot_start_one_run
      the table repeats the rule        test_the_table_itself_refuses_two_runs_of_one_instant
    messages (T2, T2e, and to another codebase: sent, T9), test_races_of_messages
      two publishers                    test_two_publishers_send_each_message_once
                                        test_runs_that_another_publisher_holds_are_passed_by
      beat dies after T1, before T2     test_what_a_dead_beat_had_decided_is_sent_by_another
      beat dies after T2, no message    test_a_beat_that_dies_before_the_message_leaves_it_to_redispatch
      beat dies after the message       test_a_beat_that_dies_after_the_message_has_sent_it
      beat dies with bells unrung       test_a_beat_that_dies_with_bells_unrung_leaves_them_to_redispatch
      two beats that ring at once       test_two_beats_that_ring_at_once_leave_each_run_to_one_of_them
      bell, another beat's redispatch   test_a_bell_unrung_for_long_takes_back_nothing_that_another_beat_rang
      bell, cancel                      test_a_run_that_is_cancelled_before_its_bell_rings_starts_nothing
      message before its mark           test_a_bell_is_left_for_the_publisher_only_when_its_run_is_committed
                                        test_a_message_goes_out_only_when_its_mark_is_committed
      half a batch went out             test_a_message_out_before_the_broker_failed_starts_its_run_once
      T2e, claim                        test_a_message_that_came_through_after_all_is_not_taken_back
                                        test_giving_back_against_a_claim_leaves_one_truth
      T2e, a later dispatch             test_a_later_dispatch_is_not_taken_back_by_an_earlier_failure
      T2e, cancel                       test_giving_back_against_cancel_never_revives_a_run
      redispatch, claim                 test_redispatch_against_a_claim_never_queues_what_executes
      redispatch, cancel                test_redispatch_against_cancel_rings_for_nothing_that_is_over
      sent, sent                        test_two_beats_that_sent_one_message_record_it_once
      sent, cancel                      test_the_record_of_a_message_against_cancel_leaves_one_truth
      heard, heard                      test_two_beats_that_hear_of_one_end_record_one
    attempts (T3 to T6, T8), test_races_of_attempts
      double message                    test_a_doubled_message_starts_nothing_whenever_it_comes
      two workers, one run              test_two_workers_and_one_run_make_one_attempt
      claim, cancel                     test_cancel_against_claim_leaves_one_truth
      claim, delete                     test_delete_against_claim_cancels_only_what_waits
      claim, pause                      test_a_pause_stops_no_run_that_is_being_claimed
      claim, edit                       test_a_claim_beside_an_edit_executes_the_revision_of_its_run
      claim, hasten                     test_hasten_against_claim_makes_one_attempt
      claim, claim of the same schedule test_two_runs_of_a_schedule_that_may_not_overlap
      retry due, manual run             test_a_retry_that_is_due_against_a_manual_run
      overlap insert, finish            test_a_claim_waits_for_the_finish_that_makes_room
                                        test_a_claim_beside_a_finish_that_is_rolled_back_is_an_overlap
      finish, cancel                    test_finish_against_cancel_never_reopens_a_finished_run
      retry, cancel                     test_retry_against_cancel_ends_cancelled
                                        test_a_run_that_fails_between_the_two_looks_of_a_cancel_is_cancelled
      finish, finish                    test_a_result_that_is_recorded_twice_counts_once
      worker dies in its claim          test_a_worker_that_dies_in_its_claim_has_claimed_nothing
      claim, its own row deleted        test_a_worker_whose_row_is_deleted_claims_nothing
    lost workers (T7), test_races_of_rescue
      finish, rescue                    test_finish_against_rescue_has_one_winner
      retry, rescue                     test_retry_against_rescue_has_one_winner
      two rescuers, one run             test_two_rescuers_rescue_once
      heartbeat, rescue                 test_a_heartbeat_against_the_verdict
      cancel, rescue                    test_cancel_against_rescue_never_repeats_the_run
      fence after SIGCONT               test_the_fence_holds_when_a_lost_worker_comes_back
      rescuer stopped, next worker      test_a_rescuer_that_was_stopped_leaves_the_run_to_its_next_worker
      parent, beat                      test_the_parent_of_a_dead_child_against_beat
      database return, rescuer          test_a_rescuer_that_gets_its_database_back_waits_a_whole_lease
      SIGSTOP of the rescuer            test_a_rescuer_that_was_paused_waits_a_whole_lease
                                        test_a_rescuer_that_starts_late_waits_a_whole_lease
      clock jump, beat | rescuer        test_nothing_is_claimed_while_the_clock_is_in_doubt
                                        test_a_rescuer_rescues_nobody_while_the_clock_is_in_doubt
      disown, claim under way           test_a_claim_that_is_under_way_is_not_disowned
      disown, late answer of a claim    test_a_claim_whose_answer_is_late_is_not_disowned
                                        test_a_claim_whose_answer_never_came_is_disowned_at_the_second_heartbeat
      disown, finish                    test_disown_against_finish_has_one_winner
      prune, late result                test_a_result_that_comes_after_its_run_was_pruned_changes_nothing
      prune, finish | rescue            test_pruning_against_the_end_of_a_run_never_takes_an_active_one
      prune, run again                  test_pruning_against_run_again_loses_no_request
"""

from __future__ import annotations

import re
import sys
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django_celery_beat.models import PeriodicTask

from schedules import catalog, dispatch, occurrences, operate, reconcile
from schedules.errors import NotPossible
from schedules.models import Revision, Run, Schedule
from schedules.models.schedule import FOREVER
from schedules.querysets import database_now
from schedules.rules.states import State
from tests.database import test_races_of_attempts, test_races_of_messages, test_races_of_rescue
from tests.database.racing import PATIENCE, Held, Order, Pause, Racer, meet
from tests.factories import due, make_later, make_run, make_schedule

pytestmark = pytest.mark.django_db(transaction=True)

in_every_order = pytest.mark.parametrize("order", Order)


@pytest.fixture
def schedule(minute):
    """Due once at `minute`, and then not for a long time: nothing falls due while a test runs."""
    schedule = make_schedule(cron=f"{minute.minute} {minute.hour} * * *")
    due(schedule, minute)
    return schedule


def test_two_beats_give_each_due_instant_one_run(monkeypatch, now, minute):
    schedules = [make_schedule(f"job {number}") for number in range(5)]
    for schedule in schedules:
        due(schedule, minute)
    pause = Pause(occurrences.settle)
    monkeypatch.setattr(dispatch.occurrences, "settle", pause)

    first = Racer(lambda: dispatch.dispatch_due(now))
    assert pause.reached.wait(PATIENCE)  # the first beat holds the rows, and has written its runs
    second = Racer(lambda: dispatch.dispatch_due(now))
    pause.go.set()

    assert first.result == 5
    assert second.result in (0, 5)
    assert Run.objects.count() == 5


@in_every_order
def test_two_beats_and_one_due_row_make_one_run(order, schedule, now, minute):
    beats = [lambda: dispatch.dispatch_due(now, by="first"), lambda: dispatch.dispatch_due(now, by="second")]

    assert sorted(meet(order, *beats)) == [0, 1]

    run = Run.objects.get()
    assert (run.scheduled_for, run.decided_by) == (minute, "first" if order.first_wins else "second")
    schedule.refresh_from_db()
    assert schedule.total_run_count == 1
    assert schedule.next_run_at > now


def test_a_row_that_another_beat_holds_is_passed_by_and_not_waited_for(schedule, now):
    held = Held(lambda: dispatch.dispatch_due(now))
    second = Racer(lambda: dispatch.dispatch_due(now))

    if connection.vendor == "postgresql":  # elsewhere there is one writer at a time
        assert second.result == 0
    assert held.commit() == 1
    assert second.result == 0


@in_every_order
def test_two_beats_give_a_one_off_its_one_run(order, now, minute):
    schedule = make_schedule(one_off=True)
    due(schedule, minute)

    meet(order, lambda: dispatch.dispatch_due(now), lambda: dispatch.dispatch_due(now))

    assert Run.objects.count() == 1
    schedule.refresh_from_db()
    assert (schedule.enabled, schedule.next_run_at, schedule.revision.number) == (False, None, 2)


def test_a_beat_that_dies_before_its_commit_has_done_nothing(schedule, now, minute):
    held = Held(lambda: dispatch.dispatch_due(now, by="dead"))
    held.roll_back()
    assert Run.objects.count() == 0
    schedule.refresh_from_db()
    assert (schedule.next_run_at, schedule.total_run_count) == (minute, 0)

    assert dispatch.dispatch_due(now, by="alive") == 1
    assert Run.objects.get().decided_by == "alive"


def _is_accounted_for_under_the_first_revision(minute):
    run = Run.objects.get()
    return (run.scheduled_for, run.revision.number, run.trigger) == (minute, 1, "schedule")


@in_every_order
def test_beat_against_edit_accounts_for_the_instant_under_the_old_revision(order, schedule, now, minute):
    new_year = "0 0 1 1 *"

    meet(
        order,
        lambda: dispatch.dispatch_due(now),
        lambda: catalog.change([schedule.pk], by="me", cron=new_year),
    )

    assert _is_accounted_for_under_the_first_revision(minute)
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.revision.number, schedule.total_run_count) == (new_year, 2, 1)
    assert (schedule.next_run_at.month, schedule.next_run_at.day) == (1, 1)


def test_an_edit_reads_the_clock_when_it_has_the_lock(schedule, now):
    """What a beat decided while the edit waited for its row must not lie after the edit."""
    held = Held(lambda: dispatch.dispatch_due(now))
    editor = Racer(lambda: catalog.change([schedule.pk], by="me", command="false"))
    editor.waits()
    decided_at = database_now()
    held.commit()
    assert editor.result

    assert Revision.objects.get(number=2).changed_at >= decided_at


STOPPING = {
    "pause": lambda pk: catalog.pause([pk], by="me"),
    "disable": lambda pk: catalog.disable([pk], by="me"),
    "delete": lambda pk: catalog.delete([pk], by="me"),
}


@in_every_order
@pytest.mark.parametrize("verb", STOPPING)
def test_beat_against_what_stops_a_schedule_accounts_for_what_was_due(verb, order, schedule, now, minute):
    meet(order, lambda: dispatch.dispatch_due(now), lambda: STOPPING[verb](schedule.pk))

    assert _is_accounted_for_under_the_first_revision(minute)
    assert Run.objects.get().state == (State.CANCELLED if verb == "delete" else State.PENDING)
    schedule.refresh_from_db()
    assert schedule.next_run_at in (None, FOREVER)
    assert dispatch.dispatch_due(now + timedelta(days=400)) == 0


@in_every_order
def test_beat_against_reconcile_uses_the_revision_of_the_instant(order, schedule, now, minute):
    PeriodicTask.objects.filter(pk=schedule.pk).update(description="changed elsewhere", queue="tasks")

    meet(order, lambda: dispatch.dispatch_due(now), reconcile.reconcile)

    assert _is_accounted_for_under_the_first_revision(minute)
    schedule.refresh_from_db()
    assert schedule.revision.number == 2
    assert schedule.next_run_at > now


def test_a_manual_run_and_a_dispatch_do_not_disturb_each_other(schedule, now):
    for order in Order:
        schedule.runs.all().delete()
        due(schedule, now.replace(second=0))

        meet(order, lambda: dispatch.dispatch_due(now), lambda: operate.run_now(schedule, by="me"))

        dispatch.dispatch_due(now)  # a beat passes by a row that is held
        assert sorted(Run.objects.values_list("trigger", flat=True)) == ["manual", "schedule"]


@in_every_order
def test_two_edits_of_one_schedule_both_stay(order, schedule):
    meet(
        order,
        lambda: catalog.change([schedule.pk], by="first", command="echo mine"),
        lambda: catalog.change([schedule.pk], by="second", timeout=60),
    )

    schedule.refresh_from_db()
    assert (schedule.command, schedule.timeout, schedule.revision.number) == ("echo mine", 60, 3)
    last = schedule.revision.definition
    assert (last["command"], last["timeout"]) == ("echo mine", 60)


@in_every_order
def test_a_form_that_is_saved_against_delete_revives_nothing(order):
    """The form was filled in before: it holds every column, the name among them."""
    filled_in = Schedule.objects.get(pk=make_later().pk)
    filled_in.command = "echo edited"

    def save():
        try:
            return catalog.save(filled_in, by="editor")
        except NotPossible as refusal:
            return refusal

    saved, deleted = meet(order, save, lambda: catalog.delete([filled_in.pk], by="other"))

    assert deleted == 1
    row = Schedule.objects.get(pk=filled_in.pk)
    assert (row.is_deleted, row.enabled, row.name) == (True, False, f"job~deleted~{row.pk}")
    assert row.command == ("echo edited" if isinstance(saved, Schedule) else "true")
    assert isinstance(saved, Schedule) or "somebody has deleted it" in str(saved)
    assert row.revision.definition["command"] == row.command


def test_a_form_of_a_schedule_that_is_gone_altogether_makes_no_new_one():
    filled_in = Schedule.objects.get(pk=make_schedule().pk)
    PeriodicTask.objects.filter(pk=filled_in.pk).delete()

    with pytest.raises(NotPossible):
        catalog.save(filled_in, by="editor")

    assert not PeriodicTask.objects.filter(pk=filled_in.pk).exists()


@in_every_order
def test_two_workers_that_see_one_boot_start_one_run(order):
    make_schedule(cron="@reboot")
    boot = {"host": "here", "boot_id": "b", "booted_at": database_now(), "queues": ["commands"]}

    started = meet(order, lambda: operate.note_boot(**boot), lambda: operate.note_boot(**boot))

    assert started == ((1, 0) if order.first_wins else (0, 1))
    assert Run.objects.count() == 1


def test_the_table_itself_refuses_two_runs_of_one_instant(minute):
    schedule = make_schedule()
    run = make_run(schedule, trigger="schedule", scheduled_for=minute)
    with pytest.raises(IntegrityError):
        make_run(schedule, trigger="catch_up", scheduled_for=run.scheduled_for)


def test_opening_the_same_instant_twice_returns_it_once():
    schedule = make_schedule()
    row = occurrences.run_columns(schedule, catalog.check(schedule), database_now())
    assert len(Run.objects.open([row])) == 1
    assert Run.objects.open([row]) == []


def test_another_constraint_is_not_swallowed_by_the_conflict_target():
    schedule = make_schedule()
    row = occurrences.run_columns(schedule, catalog.check(schedule), database_now())
    with pytest.raises(IntegrityError):
        Run.objects.open([row | {"state": State.SUCCEEDED}])  # final, but not finished


def test_the_table_names_tests_that_there_are():
    modules = (sys.modules[__name__], test_races_of_messages, test_races_of_attempts, test_races_of_rescue)
    there = {name for module in modules for name in vars(module)}
    assert set(re.findall(r"\btest_(?!races)\w+", __doc__)) <= there


def test_the_engine_under_test_is_the_one_that_was_asked_for():
    assert connection.vendor in ("postgresql", "sqlite")
    assert Schedule.objects.count() == 0
