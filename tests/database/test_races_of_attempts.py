"""Races of a run that starts and ends (T3 to T6, T8): workers against each other, and against people.

The head of `test_races` lists them all.
"""

from __future__ import annotations

import contextlib
import uuid

import pytest
from django.db import IntegrityError

from schedules import catalog, execute, finishing, operate
from schedules.errors import NotPossible
from schedules.models import Attempt, AttemptOutput, Run, Worker
from schedules.querysets import RunQuerySet, database_now
from schedules.rules.states import FINAL, Outcome, State
from schedules.worker.work import Ended
from tests.database.racing import Held, Order, Racer, meet
from tests.factories import claimed, make_policy, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db(transaction=True)

in_every_order = pytest.mark.parametrize("order", Order)

SUCCEEDED = Ended(outcome=Outcome.SUCCEEDED, exit_code=0)
FAILED = Ended(outcome=Outcome.FAILED, exit_code=75)


def claiming(run: Run):
    """A claim by a worker of its own, for a thread."""
    worker = make_worker(f"for {run.pk}")
    return lambda: execute.claim(run.pk, worker)


def cancelling(run: Run):
    def cancel() -> str:
        with contextlib.suppress(NotPossible):
            return operate.cancel(Run.objects.get(pk=run.pk), by="me")
        return "over"

    return cancel


def states() -> list[tuple[str, str]]:
    return sorted(Run.objects.values_list("state", "reason"))


@in_every_order
def test_two_workers_and_one_run_make_one_attempt(order):
    run = make_run(make_schedule())

    claims = meet(order, claiming(run), claiming(run))

    winner, loser = claims if order.first_wins else reversed(claims)
    assert loser is None
    assert Attempt.objects.get().token == winner.attempt.token


def test_a_doubled_message_starts_nothing_whenever_it_comes():
    run = make_run(make_schedule(retry_policy=make_policy(delays=[600])))
    claim = claimed(run)
    assert execute.claim(run.pk, make_worker()) is None  # while it executes
    finishing.finish(claim, FAILED)
    assert execute.claim(run.pk, make_worker()) is None  # while it waits for its retry
    operate.retry_now(Run.objects.get(pk=run.pk))
    finishing.finish(claimed(run), SUCCEEDED)
    assert execute.claim(run.pk, make_worker()) is None  # when it is over
    assert Attempt.objects.count() == 2


def test_a_worker_that_dies_in_its_claim_has_claimed_nothing():
    run = make_run(make_schedule())
    Held(claiming(run)).roll_back()
    assert Attempt.objects.count() == 0
    assert claimed(run).attempt.number == 1


@pytest.mark.parametrize("order", [Order.FIRST_HOLDS, Order.SECOND_READ, Order.FIRST_READ])
def test_a_worker_whose_row_is_deleted_claims_nothing(order):
    run = make_run(make_schedule())
    worker = make_worker()

    def claim():
        with contextlib.suppress(IntegrityError):  # which `execute` answers with a row anew
            return execute.claim(run.pk, worker)

    _, found = meet(order, lambda: Worker.objects.filter(pk=worker.pk).delete(), claim)

    run.refresh_from_db()
    assert (found is None) == order.first_wins
    # A run without a worker is what the rescue of orphans ends.
    assert (run.state, run.worker) == ((State.PENDING if order.first_wins else State.RUNNING), None)
    assert run.attempts.count() == (0 if order.first_wins else 1)


def test_a_run_that_is_to_be_cancelled_is_not_started():
    run = make_run(make_schedule(), cancel_requested=True)
    assert execute.claim(run.pk, make_worker()) is None
    assert Attempt.objects.count() == 0


@in_every_order
def test_cancel_against_claim_leaves_one_truth(order):
    run = make_run(make_schedule())

    said, claim = meet(order, cancelling(run), claiming(run))

    run.refresh_from_db()
    if order.first_wins:
        assert (claim, run.state, run.attempts.count()) == (None, State.CANCELLED, 0)
        assert "before it started" in said
    else:
        assert (run.state, run.cancel_requested) == (State.RUNNING, True)
        assert "by its worker" in said


@in_every_order
def test_delete_against_claim_cancels_only_what_waits(order):
    schedule = make_schedule()
    run = make_run(schedule)

    _, claim = meet(order, lambda: catalog.delete([schedule.pk], by="me"), claiming(run))

    run.refresh_from_db()
    assert (claim is None) == order.first_wins
    assert run.state == (State.CANCELLED if order.first_wins else State.RUNNING)


@in_every_order
def test_a_pause_stops_no_run_that_is_being_claimed(order):
    schedule = make_schedule()
    run = make_run(schedule)

    _, claim = meet(order, lambda: catalog.pause([schedule.pk], by="me"), claiming(run))

    assert claim is not None
    run.refresh_from_db()
    assert run.state == State.RUNNING


@in_every_order
def test_a_claim_beside_an_edit_executes_the_revision_of_its_run(order):
    schedule = make_schedule(command="echo old")
    run = make_run(schedule)

    _, claim = meet(order, lambda: catalog.change([schedule.pk], by="me", command="echo new"), claiming(run))

    assert claim.definition.command == "echo old"
    assert claim.run.revision.number == 1


@in_every_order
def test_hasten_against_claim_makes_one_attempt(order):
    """The retry is due in ten minutes, a doubled message comes early, and somebody wants it now."""
    run = make_run(make_schedule(retry_policy=make_policy(delays=[600])))
    finishing.finish(claimed(run), FAILED)

    hastened, claim = meet(order, lambda: Run.objects.hasten(run.pk), claiming(run))

    assert hastened
    if order is not Order.FIRST_HOLDS:  # there PostgreSQL's claim sees the row as it was, SQLite's waits
        assert (claim is not None) == order.first_wins
    assert (claim or claimed(run)).attempt.number == 2
    assert Attempt.objects.count() == 2
    assert not Run.objects.hasten(run.pk)


@in_every_order
def test_two_runs_of_a_schedule_that_may_not_overlap(order):
    schedule = make_schedule(overlap="skip")
    first, second = make_run(schedule), make_run(schedule)

    meet(order, claiming(first), claiming(second))

    assert states() == [("running", ""), ("skipped", "overlap")]
    assert Run.objects.get(state=State.RUNNING) == (first if order.first_wins else second)


@in_every_order
def test_a_retry_that_is_due_against_a_manual_run(order):
    schedule = make_schedule(overlap="skip", retry_policy=make_policy())
    retrying = make_run(schedule)
    finishing.finish(claimed(retrying), FAILED)
    manual = make_run(schedule)

    meet(order, claiming(retrying), claiming(manual))

    retrying.refresh_from_db(), manual.refresh_from_db()
    if order.first_wins:
        assert (retrying.state, manual.state, manual.reason) == ("running", "skipped", "overlap")
    else:  # it has had an attempt, and is no duplicate of what executes
        assert (retrying.state, manual.state) == ("pending", "running")
        assert retrying.available_at > database_now()


def test_a_claim_waits_for_the_finish_that_makes_room():
    schedule = make_schedule(overlap="skip")
    first, claim_second = claimed(make_run(schedule)), claiming(make_run(schedule))

    held = Held(lambda: finishing.finish(first, SUCCEEDED))
    claim = Racer(claim_second)
    assert claim.waits()
    assert held.commit()

    assert claim.result is not None
    assert states() == [("running", ""), ("succeeded", "")]


def test_a_claim_beside_a_finish_that_is_rolled_back_is_an_overlap():
    schedule = make_schedule(overlap="skip")
    first, claim_second = claimed(make_run(schedule)), claiming(make_run(schedule))

    held = Held(lambda: finishing.finish(first, SUCCEEDED))
    claim = Racer(claim_second)
    assert claim.waits()
    held.roll_back()

    assert claim.result is None
    assert states() == [("running", ""), ("skipped", "overlap")]


@in_every_order
def test_finish_against_cancel_never_reopens_a_finished_run(order):
    claim = claimed(make_run(make_schedule()))

    won, said = meet(order, lambda: finishing.finish(claim, SUCCEEDED), cancelling(claim.run))

    claim.run.refresh_from_db()
    assert won
    assert claim.run.state == State.SUCCEEDED
    assert (said == "over") == order.first_wins


@in_every_order
def test_retry_against_cancel_ends_cancelled(order):
    claim = claimed(make_run(make_schedule(retry_policy=make_policy(delays=[60]))))

    won, said = meet(order, lambda: finishing.finish(claim, FAILED), cancelling(claim.run))

    assert won
    assert said != "over"
    claim.run.refresh_from_db()
    assert (claim.run.state, claim.run.reason) == (State.CANCELLED, "cancelled_by_user")
    assert (Attempt.objects.get().decision_rule == "cancelled") is not order.first_wins


def test_a_run_that_fails_between_the_two_looks_of_a_cancel_is_cancelled(monkeypatch):
    """It executed at the first look, and waits for its retry at the second."""
    claim = claimed(make_run(make_schedule(retry_policy=make_policy(delays=[600]))))
    request = RunQuerySet.request_cancel

    def fails_first(queryset, **said):
        finishing.finish(claim, FAILED)
        return request(queryset, **said)

    monkeypatch.setattr(RunQuerySet, "request_cancel", fails_first)
    operate.cancel(claim.run, by="me")

    claim.run.refresh_from_db()
    assert claim.run.state == State.CANCELLED


def test_a_cancel_request_that_comes_before_the_failure_forbids_the_retry():
    claim = claimed(make_run(make_schedule(retry_policy=make_policy())))
    operate.cancel(claim.run, by="me")

    assert finishing.finish(claim, FAILED)

    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.decision_rule) == ("failed", "cancelled")
    assert Run.objects.get().state == State.CANCELLED


@in_every_order
def test_a_result_that_is_recorded_twice_counts_once(order):
    """The answer to the first record was lost, and the worker tries again."""
    claim = claimed(make_run(make_schedule()))
    printed = Ended(outcome=Outcome.SUCCEEDED, head=(("stdout", "once"),), bytes_seen=4)

    won = meet(order, lambda: finishing.finish(claim, printed), lambda: finishing.finish(claim, printed))

    assert won == ((True, False) if order.first_wins else (False, True))
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.late_result) == ("succeeded", "")
    assert AttemptOutput.objects.count() == 1


def test_the_table_itself_refuses_a_second_exclusive_execution():
    schedule = make_schedule(overlap="skip")
    first, second = make_run(schedule), make_run(schedule)
    claimed(first)
    with pytest.raises(IntegrityError):
        Run.objects.start(second.pk, worker=make_worker("b"), token=uuid.uuid4())


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
