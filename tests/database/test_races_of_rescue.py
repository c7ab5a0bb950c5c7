"""Races over what a lost worker executed (T7), and of what deletes rows: nobody's result counts twice.

The head of `test_races` lists them all.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from celery import current_app
from django.db import OperationalError

from schedules import beat, execute, finishing, operate, rescue, retention
from schedules.errors import NotPossible
from schedules.models import Attempt, AttemptOutput, Run, Worker
from schedules.querysets import RunQuerySet, database_now
from schedules.rules.states import Outcome, State
from schedules.worker import process
from schedules.worker.work import Ended
from tests.database.racing import PATIENCE, Order, Pause, Racer, meet
from tests.factories import claimed, due, make_policy, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db(transaction=True)

in_every_order = pytest.mark.parametrize("order", Order)

SUCCEEDED = Ended(outcome=Outcome.SUCCEEDED, exit_code=0)
FAILED = Ended(outcome=Outcome.FAILED, exit_code=75)


def rescuing(worker: Worker):
    """A rescuer that has read the worker's row, for a thread."""
    seen = Worker.objects.get(pk=worker.pk)
    return lambda: rescue.rescue_worker(seen, what="tests")


def again(run: Run, worker: Worker) -> finishing.Claimed:
    """Rescued from `worker`, and claimed by the next."""
    assert rescuing(worker)() == 1
    return claimed(run, make_worker("second"))


@pytest.fixture
def gone():
    """A worker that said that it stopped."""
    return make_worker(stopped_at=database_now())


@in_every_order
def test_finish_against_rescue_has_one_winner(order, gone):
    claim = claimed(make_run(make_schedule()), gone)

    won, rescued = meet(order, lambda: finishing.finish(claim, SUCCEEDED), rescuing(gone))

    assert (won, rescued) == ((True, 0) if order.first_wins else (False, 1))
    claim.run.refresh_from_db()
    assert claim.run.state == (State.SUCCEEDED if won else State.LOST)
    attempt = Attempt.objects.get()
    assert attempt.outcome == ("succeeded" if won else "worker_lost")
    assert ("succeeded" in attempt.late_result) is not won


@in_every_order
def test_retry_against_rescue_has_one_winner(order, gone):
    schedule = make_schedule(on_worker_lost="retry", retry_policy=make_policy(delays=[600]))
    claim = claimed(make_run(schedule), gone)

    won, rescued = meet(order, lambda: finishing.finish(claim, FAILED), rescuing(gone))

    assert (won, rescued) == ((True, 0) if order.first_wins else (False, 1))
    claim.run.refresh_from_db()
    assert (claim.run.state, claim.run.attempt) == (State.PENDING, 1)
    assert Attempt.objects.get().outcome == ("failed" if won else "worker_lost")


@in_every_order
def test_two_rescuers_rescue_once(order, gone):
    claimed(make_run(make_schedule(on_worker_lost="retry")), gone)

    rescued = meet(order, rescuing(gone), rescuing(gone))

    assert rescued == ((1, 0) if order.first_wins else (0, 1))
    assert Run.objects.get().state == State.PENDING
    assert Attempt.objects.get().outcome == "worker_lost"


def test_a_heartbeat_that_comes_before_the_verdict_saves_the_run():
    worker = make_worker()
    claim = claimed(make_run(make_schedule()), worker)
    rescuer = rescuing(worker)
    Worker.objects.beat(worker.pk)

    assert rescuer() == 0
    claim.run.refresh_from_db()
    assert claim.run.state == State.RUNNING


@in_every_order
def test_a_heartbeat_against_the_verdict(order):
    worker = make_worker()
    claim = claimed(make_run(make_schedule()), worker)

    _, rescued = meet(order, lambda: Worker.objects.beat(worker.pk), rescuing(worker))

    assert rescued == (0 if order.first_wins else 1)
    claim.run.refresh_from_db()
    assert claim.run.state == (State.RUNNING if order.first_wins else State.LOST)


@in_every_order
def test_cancel_against_rescue_never_repeats_the_run(order, gone):
    run = make_run(make_schedule(on_worker_lost="retry"))
    claimed(run, gone)

    meet(order, lambda: operate.cancel(Run.objects.get(pk=run.pk), by="me"), rescuing(gone))

    run.refresh_from_db()
    assert (run.state, run.reason, "me" in run.detail) == (State.CANCELLED, "cancelled_by_user", True)


def test_the_fence_holds_when_a_lost_worker_comes_back(gone):
    run = make_run(make_schedule(on_worker_lost="retry"))
    late = claimed(run, gone)
    second = again(run, gone)

    printed = replace(SUCCEEDED, head=(("stdout", "late"),), bytes_seen=4)
    assert finishing.finish(late, printed) is False
    run.refresh_from_db()
    assert not AttemptOutput.objects.exists()
    assert (run.state, run.token) == (State.RUNNING, second.attempt.token)
    first = Attempt.objects.get(run=run, number=1)
    assert first.outcome == "worker_lost"
    assert "succeeded" in first.late_result


def test_the_fence_holds_against_a_retry_too(gone):
    """The lost worker's failure must not put a run back that another one executes."""
    run = make_run(make_schedule(on_worker_lost="retry", retry_policy=make_policy()))
    late = claimed(run, gone)
    second = again(run, gone)

    assert finishing.finish(late, FAILED) is False
    run.refresh_from_db()
    assert (run.state, run.token) == (State.RUNNING, second.attempt.token)


def test_a_rescuer_that_was_stopped_leaves_the_run_to_its_next_worker(gone):
    """SIGSTOP between its look at the run and its verdict: the verdict is about an attempt that is over."""
    run = make_run(make_schedule(on_worker_lost="retry"))
    claimed(run, gone)

    stopped = Racer(rescuing(gone), reads_first=True)
    assert stopped.has_read.wait(PATIENCE)
    second = again(run, gone)
    stopped.go.set()

    assert stopped.result == 0
    run.refresh_from_db()
    assert (run.state, run.token) == (State.RUNNING, second.attempt.token)


@in_every_order
def test_the_parent_of_a_dead_child_against_beat(order):
    """The parent knows that it was the timeout; beat only knows that nobody answers."""
    worker = make_worker(host="here", pid=77, parent_pid=70)
    claimed(make_run(make_schedule()), worker)
    parents = {"host": "here", "pid": 77, "parent_pid": 70, "what": "it died", "outcome": Outcome.TIMED_OUT}
    parents["name"] = worker.name

    counts = meet(order, lambda: rescue.rescue_child(**parents), rescuing(worker))

    assert counts == ((1, 0) if order.first_wins else (0, 1))
    assert Run.objects.get().state == (State.TIMED_OUT if order.first_wins else State.LOST)


def is_running(run: Run) -> bool:
    run.refresh_from_db()
    return run.state == State.RUNNING


class Rescuer:
    """The rescue of a beat, with a monotonic clock and a database that tests move and take away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        self.engine = beat.Engine(current_app)
        self.engine.watch.monotonic = lambda: self.seconds
        self._monkeypatch = monkeypatch

    def step(self, *, after: float = 0.0) -> None:
        self._step(after)
        assert not self.engine.rescue._failures

    def listen(self, *, seconds: float) -> None:
        """As beat does: one step every ten seconds."""
        for _ in range(int(seconds / 10)):
            self.step(after=10)

    def step_without_database(self, *, after: float) -> None:
        def away(*_):
            raise OperationalError("the server closed the connection unexpectedly")

        with self._monkeypatch.context() as patched:
            patched.setattr(rescue, "rescue_lost", away)
            self._step(after)
        assert self.engine.rescue._failures

    def _step(self, after: float) -> None:
        self.seconds += after
        self.engine.rescue._try()

    def doubt_the_clock(self) -> None:
        for jump in (timedelta(), timedelta(hours=2)):
            self.engine.guard.agrees(database_now() + jump)


@pytest.fixture
def rescuer(monkeypatch, settings):
    settings.BEATKEEPER = {**settings.BEATKEEPER, "lease_seconds": 60, "heartbeat_seconds": 10}
    return Rescuer(monkeypatch)


def test_a_rescuer_that_gets_its_database_back_waits_a_whole_lease(rescuer):
    """The workers were cut off as well: the first of them has yet to send its heartbeat."""
    run = make_run(make_schedule())
    claimed(run)
    rescuer.step()
    rescuer.listen(seconds=40)
    rescuer.step_without_database(after=10)

    rescuer.listen(seconds=60)  # the first of these steps begins the lease
    assert is_running(run)
    rescuer.listen(seconds=10)
    assert not is_running(run)


def test_a_rescuer_that_was_paused_waits_a_whole_lease(rescuer):
    """SIGSTOP, or a host that was suspended: its own clock went on, and it heard nobody."""
    run = make_run(make_schedule())
    claimed(run)
    rescuer.step()

    rescuer.step(after=300)
    rescuer.listen(seconds=50)
    assert is_running(run)
    rescuer.listen(seconds=10)
    assert not is_running(run)


def test_a_rescuer_that_starts_late_waits_a_whole_lease(rescuer):
    long_ago = database_now() - timedelta(days=1)
    run = make_run(make_schedule())
    claimed(run, make_worker(started_at=long_ago, seen_at=long_ago))

    rescuer.step()
    rescuer.listen(seconds=50)
    assert is_running(run)


def test_a_rescuer_rescues_nobody_while_the_clock_is_in_doubt(rescuer):
    run = make_run(make_schedule())
    claimed(run)
    rescuer.step()
    rescuer.doubt_the_clock()
    rescuer.listen(seconds=70)
    assert is_running(run)


def test_nothing_is_claimed_while_the_clock_is_in_doubt(rescuer, minute):
    schedule = make_schedule()
    due(schedule, minute)
    rescuer.doubt_the_clock()

    rescuer.engine._dispatch()

    assert Run.objects.count() == 0
    schedule.refresh_from_db()
    assert schedule.next_run_at == minute


@pytest.fixture
def here(monkeypatch):
    """This process, with heartbeats by hand."""
    monkeypatch.setattr(process.Process, "on_disowned", staticmethod(rescue.rescue_disowned))
    here = process.Process(name="tests", queues="", pool="threads", parent_pid=None)
    yield here
    here.database.close()


def test_a_claim_that_is_under_way_is_not_disowned(here):
    run, worker = make_run(make_schedule()), here.worker
    with here.holding(run.pk):
        here._disown()
        execute.claim(run.pk, worker)
        here._disown()
        here._disown()
    assert is_running(run)


def test_a_claim_that_comes_between_the_two_looks_of_a_heartbeat_is_not_disowned(here, monkeypatch):
    """The heartbeat knows nothing of the run, and then finds it in the table."""
    run, worker = make_run(make_schedule()), here.worker
    here._disown()

    pause, look = Pause(lambda: None), RunQuerySet.executed_by

    def pause_first(runs, worker):
        pause()
        return look(runs, worker)

    monkeypatch.setattr(RunQuerySet, "executed_by", pause_first)
    heartbeat = Racer(here._disown)
    assert pause.reached.wait(PATIENCE)
    with here.holding(run.pk):
        execute.claim(run.pk, worker)
        pause.go.set()
        assert heartbeat.result is None
        here._disown()
        assert is_running(run)


def test_a_claim_whose_answer_is_late_is_not_disowned(here, monkeypatch):
    run = make_run(make_schedule())
    pause = Pause(execute.claim)
    monkeypatch.setattr(execute, "claim", pause)

    def late():
        with here.holding(run.pk):
            return execute._claim(run.pk, here)

    claim = Racer(late)
    assert pause.reached.wait(PATIENCE)  # committed, and the worker does not know yet
    for _ in range(3):
        here._disown()
    pause.go.set()
    assert claim.result is not None
    assert is_running(run)


def test_a_claim_whose_answer_never_came_is_disowned_at_the_second_heartbeat(here):
    run = make_run(make_schedule())
    execute.claim(run.pk, here.worker)  # nobody holds it
    here._disown()
    assert is_running(run)

    here._disown()
    run.refresh_from_db()
    assert run.state == State.LOST


@in_every_order
def test_disown_against_finish_has_one_winner(order):
    claim = claimed(make_run(make_schedule()))

    counts = meet(
        order,
        lambda: rescue.rescue_disowned([claim.run.pk]),
        lambda: finishing.finish(claim, SUCCEEDED),
    )

    assert counts == ((1, False) if order.first_wins else (0, True))
    claim.run.refresh_from_db()
    assert claim.run.state == (State.LOST if order.first_wins else State.SUCCEEDED)


@pytest.fixture
def nothing_is_kept(settings):
    settings.BEATKEEPER = {**settings.BEATKEEPER, "retention_days": 0, "retention_runs": 0}


def prune() -> None:
    pruner, in_a_year = retention.Pruner(), database_now() + timedelta(days=365)
    while pruner.step(in_a_year):
        pass


def test_a_result_that_comes_after_its_run_was_pruned_changes_nothing(nothing_is_kept, gone):
    late = claimed(make_run(make_schedule()), gone)
    rescuing(gone)()
    prune()
    assert Run.objects.count() == 0

    printed = replace(SUCCEEDED, head=(("stdout", "late"),), bytes_seen=4)
    assert finishing.finish(late, printed) is False
    assert (Attempt.objects.count(), AttemptOutput.objects.count()) == (0, 0)


@in_every_order
@pytest.mark.parametrize("end", ["finish", "rescue"])
def test_pruning_against_the_end_of_a_run_never_takes_an_active_one(order, end, nothing_is_kept, gone):
    old = claimed(make_run(make_schedule("old")))
    finishing.finish(old, SUCCEEDED)
    claim = claimed(make_run(make_schedule("new", on_worker_lost="retry")), gone)
    ends = {"finish": lambda: finishing.finish(claim, SUCCEEDED), "rescue": rescuing(gone)}

    meet(order, prune, ends[end])

    assert not Run.objects.filter(pk=old.run.pk).exists()
    left = Run.objects.filter(pk=claim.run.pk).first()
    if end == "rescue":
        assert left.state == State.PENDING
    elif left is not None:
        assert left.state == State.SUCCEEDED
        assert left.attempts.count() == 1


@in_every_order
def test_pruning_against_run_again_loses_no_request(order, nothing_is_kept):
    run = claimed(make_run(make_schedule())).run
    Run.objects.filter(pk=run.pk).update(state=State.FAILED, finished_at=database_now(), token=None)
    run.refresh_from_db()

    def again():
        try:
            return operate.run_again(run, by="me")
        except NotPossible:
            return "refused"

    _, found = meet(order, prune, again)

    assert (found == "refused") == order.first_wins
    # What is repeated stays with its repetition.
    assert Run.objects.count() == (0 if order.first_wins else 2)
