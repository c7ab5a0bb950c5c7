"""Runs whose worker is gone: when a worker counts as gone, and what becomes of what it executed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schedules import rescue
from schedules.models import Attempt, Revision, Run, Worker
from schedules.querysets import database_now
from schedules.rules.states import Outcome
from tests.factories import claimed, make_policy, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(clock, settings):
    settings.BEATKEEPER = {"lease_seconds": 60, "heartbeat_seconds": 10}
    return rescue.Watch(monotonic=clock)


def rescued_within(watch, clock, seconds, *, meanwhile=lambda: None) -> int:
    """How many runs a beat rescues that looks now, and then every ten seconds or so."""
    count, end = rescue.rescue_lost(watch), clock.seconds + seconds
    while clock.seconds < end:
        clock.seconds += min(10, end - clock.seconds)
        meanwhile()
        count += rescue.rescue_lost(watch)
    return count


def test_a_worker_is_gone_when_its_heartbeat_has_not_moved_for_a_lease(watch, clock):
    claimed(make_run(make_schedule()))
    assert rescued_within(watch, clock, 59) == 0
    assert rescued_within(watch, clock, 1) == 1

    run, attempt = Run.objects.get(), Attempt.objects.get()
    assert (run.state, run.reason, run.token) == ("lost", "worker_lost", None)
    assert (attempt.outcome, attempt.decision_rule) == ("worker_lost", "not_repeatable")
    assert "has not been heard of for 60 s" in attempt.error


def test_a_moving_heartbeat_keeps_the_run(watch, clock):
    claim = claimed(make_run(make_schedule()))
    for _ in range(5):
        assert rescued_within(watch, clock, 50) == 0
        Worker.objects.beat(claim.attempt.worker_id)


def test_after_an_outage_everybody_gets_a_whole_lease_again(watch, clock):
    claimed(make_run(make_schedule()))
    rescued_within(watch, clock, 59)
    watch.forget()
    assert rescued_within(watch, clock, 59) == 0
    assert rescued_within(watch, clock, 1) == 1


@pytest.mark.parametrize("pause", [31, 300, 7200])
def test_after_a_pause_of_the_rescuer_everybody_gets_a_whole_lease_again(watch, clock, pause):
    """It was stopped, or the database took as long to answer: it cannot tell who was cut off meanwhile."""
    claimed(make_run(make_schedule()))
    rescued_within(watch, clock, 59)
    clock.seconds += pause
    assert rescued_within(watch, clock, 59) == 0
    assert rescued_within(watch, clock, 1) == 1


def test_a_rescuer_that_was_stopped_between_look_and_verdict_wrongs_nobody(watch, clock, monkeypatch):
    claim = claimed(make_run(make_schedule()))
    rescued_within(watch, clock, 59)
    silent = watch.silent

    def stopped_after_the_look(workers):
        gone = silent(workers)
        Worker.objects.beat(claim.attempt.worker_id)  # while this process was stopped
        return gone

    monkeypatch.setattr(watch, "silent", stopped_after_the_look)
    assert rescued_within(watch, clock, 1) == 0

    # And it must not have said that the worker stopped: another beat would believe it at once.
    assert Worker.objects.alive().count() == 1
    assert rescue.rescue_lost(rescue.Watch(monotonic=clock)) == 0
    assert Run.objects.get().state == "running"


def test_a_worker_that_is_gone_is_marked_as_stopped(watch, clock):
    claimed(make_run(make_schedule()))
    rescued_within(watch, clock, 60)
    assert not Worker.objects.alive().exists()


def test_each_process_of_a_prefork_worker_has_a_heartbeat_of_its_own(watch, clock):
    dead, alive = make_worker("tasks", pid=71, parent_pid=70), make_worker("tasks", pid=72, parent_pid=70)
    lost, kept = claimed(make_run(make_schedule("a")), dead), claimed(make_run(make_schedule("b")), alive)
    assert rescued_within(watch, clock, 60, meanwhile=lambda: Worker.objects.beat(alive.pk)) == 1
    states = dict(Run.objects.values_list("pk", "state"))
    assert (states[lost.run.pk], states[kept.run.pk]) == ("lost", "running")


def test_a_task_that_did_not_heed_the_stop_of_its_worker_was_interrupted():
    claim, other = claimed(make_run(make_schedule("a"))), claimed(make_run(make_schedule("b")))
    assert rescue.rescue_deaf([claim.attempt.token]) == 1
    run = Run.objects.get(pk=claim.run.pk)
    assert (run.state, run.reason, run.attempts.get().outcome) == ("lost", "worker_stopped", "interrupted")
    assert Run.objects.get(pk=other.run.pk).state == "running"


def test_times_in_the_database_do_not_count(watch):
    worker = make_worker(seen_at="2001-01-01T00:00:00Z", started_at="2001-01-01T00:00:00Z")
    claimed(make_run(make_schedule()), worker)
    assert rescue.rescue_lost(watch) == 0


def stops(worker: Worker) -> None:
    """It says so, and clearly after it has begun what it executes: SQLite's clock counts milliseconds."""
    Attempt.objects.update(started_at=database_now() - timedelta(seconds=1))
    Worker.objects.stop(worker.pk)


def test_a_worker_that_said_that_it_stopped_is_gone_at_once(watch):
    worker = make_worker()
    claimed(make_run(make_schedule()), worker)
    stops(worker)
    assert rescue.rescue_lost(watch) == 1


def test_a_run_without_a_worker_row_is_rescued(watch):
    claimed(make_run(make_schedule()))
    Worker.objects.all().delete()
    assert rescue.rescue_lost(watch) == 1


def test_retry_where_the_schedule_says_so_and_three_times_at_most(watch):
    run = make_run(make_schedule(on_worker_lost="retry"))
    decisions = []
    for _ in range(3):
        claim = claimed(run, worker := make_worker())
        stops(worker)
        rescue.rescue_lost(watch)
        run.refresh_from_db()
        decisions.append((Attempt.objects.get(pk=claim.attempt.pk).decision, run.state))
    assert decisions == [("retry", "pending"), ("retry", "pending"), ("give_up", "lost")]


def test_a_child_that_its_parent_saw_die_is_rescued_at_once():
    worker = make_worker(host="here", pid=77, parent_pid=70)
    claimed(make_run(make_schedule()), worker)

    other = make_worker("other@tests", host="here", pid=77, parent_pid=70)  # in a container of its own
    claimed(make_run(make_schedule("other")), other)

    assert _rescue_child(pid=78) == 0
    assert _rescue_child(pid=77) == 1
    assert dict(Run.objects.values_list("name", "state")) == {"job": "lost", "other": "running"}


def test_a_child_killed_at_its_timeout_has_timed_out_and_its_policy_decides():
    schedule = make_schedule(retry_policy=make_policy(max_attempts=2))
    claimed(make_run(schedule), make_worker(host="here", pid=77, parent_pid=70))

    _rescue_child(pid=77, outcome=Outcome.TIMED_OUT)

    assert Attempt.objects.get().outcome == "timed_out"
    assert Run.objects.get().state == "pending"


def test_beat_does_not_take_the_run_for_lost_while_the_parent_rescues_it(watch, monkeypatch):
    claimed(make_run(make_schedule()), make_worker(host="here", pid=77, parent_pid=70))
    parents = rescue._rescue

    def beat_looks_first(*args):
        assert rescue.rescue_lost(watch) == 0
        return parents(*args)

    monkeypatch.setattr(rescue, "_rescue", beat_looks_first)
    _rescue_child(pid=77, outcome=Outcome.TIMED_OUT)

    assert Run.objects.get().state == "timed_out"


def _rescue_child(pid: int, outcome: Outcome = Outcome.WORKER_LOST) -> int:
    return rescue.rescue_child(
        name="worker@tests", host="here", pid=pid, parent_pid=70, what="it died", outcome=outcome
    )


def test_a_run_that_its_live_worker_never_began_is_rescued():
    run = make_run(make_schedule())
    claimed(run)
    assert rescue.rescue_disowned([run.pk]) == 1
    assert Run.objects.get().state == "lost"


def test_one_run_that_cannot_be_read_does_not_keep_the_others_waiting(watch):
    worker = make_worker()
    bad, good = make_run(make_schedule("bad")), make_run(make_schedule("good"))
    for run in (bad, good):
        claimed(run, worker)
    stops(worker)
    definition = bad.revision.definition | {"on_worker_lost": "pray"}
    Revision.objects.filter(pk=bad.revision_id).update(definition=definition)

    assert rescue.rescue_lost(watch) == 2
    assert set(Run.objects.values_list("state", flat=True)) == {"lost"}


def test_what_a_worker_begins_after_it_was_taken_for_dead_it_begins_alive(watch, clock):
    """Paused for a lease, or cut off: it claims again before its next heartbeat takes the verdict back."""
    worker = make_worker()
    old = claimed(make_run(make_schedule("old")), worker)
    stops(worker)
    new = claimed(make_run(make_schedule("new")), worker)

    assert rescue.rescue_lost(watch) == 1
    assert Run.objects.get(pk=old.run.pk).state == "lost"
    assert Run.objects.get(pk=new.run.pk).state == "running"
    assert rescued_within(watch, clock, 60) == 1  # it was dead after all


def test_a_worker_that_comes_back_is_alive_again(watch):
    worker = make_worker()
    Worker.objects.stop(worker.pk)
    assert Worker.objects.beat(worker.pk)
    assert list(Worker.objects.alive()) == [worker]
