"""Each race of the transition table, with two real connections: whoever comes first, the rows stay right."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from celery import current_app
from django.db import IntegrityError, connection

from schedules import catalog, dispatch, execute, occurrences, operate, publish, rescue
from schedules.errors import NotPossible
from schedules.models import Attempt, AttemptOutput, Run, Schedule, Worker
from schedules.querysets import RunQuerySet, database_now
from schedules.rules.states import FINAL, Outcome, State
from schedules.work import Ended
from tests.database.racing import PATIENCE, Pause, Racer, together
from tests.factories import claimed, due, make_policy, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db(transaction=True)

SUCCEEDED = Ended(outcome=Outcome.SUCCEEDED, exit_code=0)
FAILED = Ended(outcome=Outcome.FAILED, exit_code=75)


@pytest.fixture
def sent(monkeypatch):
    """Run ids of messages instead of a broker."""
    ids: list[int] = []
    send = lambda producer, name, message, **_: ids.append(message.body[0][0])  # noqa: E731
    monkeypatch.setattr(current_app.amqp, "send_task_message", send)
    return ids


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


def test_dispatch_while_an_editor_holds_the_row_accounts_for_the_instant_once(monkeypatch, now, minute):
    schedule = make_schedule(cron="* * * * *")
    due(schedule, minute)
    pause = Pause(catalog.revisions.apply)
    monkeypatch.setattr(catalog.revisions, "apply", pause)

    editor = Racer(lambda: catalog.change([schedule.pk], by="me", cron="0 0 1 1 *"))
    assert pause.reached.wait(PATIENCE)
    beat = Racer(lambda: dispatch.dispatch_due(now))
    pause.go.set()
    assert (editor.result, beat.result in (0, 1)) == (editor.result, True)

    run = Run.objects.get()
    assert run.scheduled_for == minute or run.scheduled_for < now
    assert run.revision is not None
    assert run.revision.number == 1
    schedule.refresh_from_db()
    assert schedule.next_run_at is not None
    assert schedule.next_run_at > now
    assert (schedule.next_run_at.month, schedule.next_run_at.day) == (1, 1)


def test_a_manual_run_and_a_dispatch_do_not_disturb_each_other(now, minute):
    schedule = make_schedule()
    due(schedule, minute)

    together(lambda: dispatch.dispatch_due(now), lambda: operate.run_now(schedule, by="me"))

    triggers = sorted(Run.objects.values_list("trigger", flat=True))
    assert triggers in (["manual", "schedule"], ["manual"])  # a beat passes by a row that is held
    dispatch.dispatch_due(now)
    assert sorted(Run.objects.values_list("trigger", flat=True)) == ["manual", "schedule"]


def test_two_publishers_send_each_message_once(monkeypatch, sent):
    for number in range(4):
        make_run(make_schedule(f"job {number}"))
    pause = Pause(RunQuerySet.take_for_publishing)
    monkeypatch.setattr(RunQuerySet, "take_for_publishing", pause)
    now = database_now()

    first = Racer(lambda: publish.publish_due(now))
    assert pause.reached.wait(PATIENCE)
    second = Racer(lambda: publish.publish_due(now))
    pause.go.set()
    assert first.result + second.result == 4
    assert sorted(sent) == sorted(Run.objects.values_list("pk", flat=True))
    assert set(Run.objects.values_list("dispatches", flat=True)) == {1}


def test_runs_that_another_publisher_holds_are_passed_by(monkeypatch):
    make_run(make_schedule())
    pause = Pause(RunQuerySet.take_for_publishing)
    monkeypatch.setattr(RunQuerySet, "take_for_publishing", pause)

    first = Racer(_taken)
    assert pause.reached.wait(PATIENCE)  # in its transaction
    second = Racer(_taken)
    if connection.vendor == "postgresql":  # elsewhere the second waits for the first to commit
        assert second.result == []
    pause.go.set()

    assert len(first.result) == 1
    assert second.result == []
    assert Run.objects.get().dispatches == 1


def test_a_message_that_came_through_after_all_is_not_taken_back():
    run = make_run(make_schedule())
    bells = _taken()
    claimed(run)  # the worker was quicker than the error

    assert Run.objects.unpublish(bells, available_at=database_now()) == 0
    run.refresh_from_db()
    assert run.state == State.RUNNING


def test_a_later_dispatch_is_not_taken_back_by_an_earlier_failure():
    run = make_run(make_schedule())
    early = _taken()
    Run.objects.filter(pk=run.pk).update(redispatch_at=database_now())
    _taken()

    assert Run.objects.unpublish(early, available_at=database_now()) == 0
    run.refresh_from_db()
    assert (run.state, run.dispatches) == (State.QUEUED, 2)


def test_two_workers_and_one_run_make_one_attempt():
    run = make_run(make_schedule())
    workers = [make_worker("a"), make_worker("b")]

    found = together(*[lambda worker=worker: execute.claim(run.pk, worker) for worker in workers])

    assert sum(claim is not None for claim in found) == 1
    assert Attempt.objects.count() == 1


def test_a_run_that_is_to_be_cancelled_is_not_started():
    run = make_run(make_schedule(), cancel_requested=True)
    assert execute.claim(run.pk, make_worker()) is None
    assert Attempt.objects.count() == 0


def test_overlap_skip_lets_one_of_two_runs_execute():
    schedule = make_schedule(overlap="skip")
    runs = [make_run(schedule), make_run(schedule)]
    workers = [make_worker("a"), make_worker("b")]

    together(
        *[
            lambda run=run, worker=worker: execute.claim(run.pk, worker)
            for run, worker in zip(runs, workers, strict=True)
        ]
    )

    assert sorted(Run.objects.values_list("state", "reason")) == [("running", ""), ("skipped", "overlap")]


def test_a_retry_that_may_not_overlap_waits_instead_of_being_skipped():
    schedule = make_schedule(overlap="skip", retry_policy=make_policy())
    retrying = make_run(schedule)
    execute.finish(claimed(retrying), FAILED)
    claimed(make_run(schedule))

    assert execute.claim(retrying.pk, make_worker("b")) is None
    retrying.refresh_from_db()
    assert retrying.state == State.PENDING
    assert retrying.available_at > database_now()


def test_finish_against_rescue_has_one_winner():
    for _ in range(5):
        worker = make_worker(stopped_at=database_now())
        claim = claimed(make_run(make_schedule(str(uuid.uuid4()))), worker)

        won, rescued = together(
            lambda claim=claim: execute.finish(claim, SUCCEEDED),
            lambda worker=worker: rescue.rescue_worker(worker, what="tests"),
        )

        claim.run.refresh_from_db()
        assert (won, rescued) in ((True, 0), (False, 1))
        assert claim.run.state == (State.SUCCEEDED if won else State.LOST)
        assert Attempt.objects.get(run=claim.run).outcome == ("succeeded" if won else "worker_lost")


def test_a_heartbeat_that_comes_before_the_verdict_saves_the_run():
    worker = make_worker()
    claim = claimed(make_run(make_schedule()), worker)
    stale = Worker.objects.get(pk=worker.pk)
    Worker.objects.beat(worker.pk)

    assert rescue.rescue_worker(stale, what="tests") == 0
    claim.run.refresh_from_db()
    assert claim.run.state == State.RUNNING


def test_two_rescuers_rescue_once():
    worker = make_worker(stopped_at=database_now())
    claimed(make_run(make_schedule(on_worker_lost="retry")), worker)

    rescued = together(*[lambda: rescue.rescue_worker(worker, what="tests")] * 2)

    assert sorted(rescued) == [0, 1]
    assert Run.objects.get().state == State.PENDING


def test_the_fence_holds_when_a_lost_worker_comes_back():
    worker = make_worker(stopped_at=database_now())
    run = make_run(make_schedule(on_worker_lost="retry"))
    late = claimed(run, worker)
    rescue.rescue_worker(worker, what="tests")
    second = claimed(run, make_worker("second"))

    printed = replace(SUCCEEDED, head=(("stdout", "late"),), bytes_seen=4)
    assert execute.finish(late, printed) is False
    run.refresh_from_db()
    assert not AttemptOutput.objects.exists()
    assert (run.state, run.token) == (State.RUNNING, second.attempt.token)
    first = Attempt.objects.get(run=run, number=1)
    assert first.outcome == "worker_lost"
    assert "succeeded" in first.late_result


def test_cancel_against_claim_leaves_one_truth():
    for _ in range(5):
        run = make_run(make_schedule(str(uuid.uuid4())))
        worker = make_worker()

        claim, _ = together(
            lambda run=run, worker=worker: execute.claim(run.pk, worker),
            lambda run=run: operate.cancel(Run.objects.get(pk=run.pk), by="me"),
        )

        run.refresh_from_db()
        if claim is None:
            assert (run.state, run.attempts.count()) == (State.CANCELLED, 0)
        else:
            assert (run.state, run.cancel_requested) == (State.RUNNING, True)


def test_cancel_against_finish_never_reopens_a_finished_run():
    for _ in range(5):
        claim = claimed(make_run(make_schedule(str(uuid.uuid4()))))

        won, _ = together(
            lambda claim=claim: execute.finish(claim, SUCCEEDED),
            lambda claim=claim: _cancel_or_not_possible(claim.run),
        )

        claim.run.refresh_from_db()
        assert won
        assert claim.run.state == State.SUCCEEDED


def test_cancel_against_retry_ends_cancelled_whoever_is_first():
    schedule = make_schedule(retry_policy=make_policy(delays=[60]))
    claim = claimed(make_run(schedule))

    together(
        lambda: execute.finish(claim, FAILED),
        lambda: operate.cancel(Run.objects.get(pk=claim.run.pk), by="me"),
    )

    claim.run.refresh_from_db()
    assert (claim.run.state, claim.run.reason) == (State.CANCELLED, "cancelled_by_user")


def test_a_cancel_request_that_comes_before_the_failure_forbids_the_retry():
    claim = claimed(make_run(make_schedule(retry_policy=make_policy())))
    operate.cancel(claim.run, by="me")

    assert execute.finish(claim, FAILED)

    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.decision_rule) == ("failed", "cancelled")
    assert Run.objects.get().state == State.CANCELLED


def test_deleting_against_claiming_cancels_only_what_waits():
    schedule = make_schedule()
    waiting, running = make_run(schedule), make_run(schedule)
    claimed(running)

    catalog.delete([schedule.pk], by="me")

    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {waiting.pk: State.CANCELLED, running.pk: State.RUNNING}


def test_the_table_itself_refuses_two_runs_of_one_instant(minute):
    schedule = make_schedule()
    run = make_run(schedule, trigger="schedule", scheduled_for=minute)
    with pytest.raises(IntegrityError):
        make_run(schedule, trigger="catch_up", scheduled_for=run.scheduled_for)


def test_the_table_itself_refuses_a_second_exclusive_execution():
    schedule = make_schedule(overlap="skip")
    first, second = make_run(schedule), make_run(schedule)
    claimed(first)
    with pytest.raises(IntegrityError):
        Run.objects.start(second.pk, worker=make_worker("b"), token=uuid.uuid4())


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


def test_final_states_are_never_left():
    run = make_run(make_schedule())
    for state in sorted(FINAL):
        Run.objects.filter(pk=run.pk).update(state=state, finished_at=database_now(), token=None)
        assert execute.claim(run.pk, make_worker(state)) is None
        assert not Run.objects.skip(run, reason="overlap", detail="")
        assert not Run.objects.finish(run.pk, uuid.uuid4(), state=State.FAILED)
        assert not Run.objects.hasten(run.pk)
        assert not Run.objects.cancel_waiting(reason="x", detail="")
        run.refresh_from_db()
        assert run.state == state


def _taken():
    from django.db import transaction

    with transaction.atomic():
        return Run.objects.take_for_publishing(
            database_now() + timedelta(seconds=1), limit=10, full=(), delays=(30, 60)
        )


def _cancel_or_not_possible(run: Run) -> None:
    with contextlib.suppress(NotPossible):
        operate.cancel(Run.objects.get(pk=run.pk), by="me")


def test_the_engine_under_test_is_the_one_that_was_asked_for():
    assert connection.vendor in ("postgresql", "sqlite")
    assert Schedule.objects.count() == 0
