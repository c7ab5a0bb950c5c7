"""The stop of a worker, step by step: when it begins, who is asked to end, and what goes to other workers."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from datetime import timedelta
from types import SimpleNamespace
from weakref import WeakSet

import pytest
from celery.worker import state
from django.db import OperationalError

from schedules import execute, rescue, stopping
from schedules.models import Run
from schedules.querysets import RunQuerySet, database_now
from schedules.worker import process
from tests.factories import claimed, make_run, make_schedule

pytestmark = pytest.mark.django_db(transaction=True)


class Request(stopping.StoppableRequest):
    """A message, as far as a stop looks at it."""

    def __init__(self, *, run_id=1, worker_pid=None):
        self._args, self.worker_pid = [run_id], worker_pid


class SomebodyElses:
    """A message of another part of the project that adopted the app."""

    worker_pid = 4712


@pytest.fixture(autouse=True)
def requests(monkeypatch):
    """What Celery knows of the messages of this worker."""
    monkeypatch.setattr(state, "reserved_requests", set())
    monkeypatch.setattr(state, "active_requests", set())
    return state


@pytest.fixture
def later(monkeypatch):
    """What would be done later, as pairs of seconds and the name of the function."""
    planned = []
    monkeypatch.setattr(stopping, "_later", lambda seconds, what: planned.append((seconds, what.__name__)))
    return planned


@pytest.fixture
def here(monkeypatch):
    made = process.Process(name="still@tests", queues="", pool="solo", parent_pid=None)
    monkeypatch.setattr(process, "_current", made)
    return made


@pytest.fixture
def stop(monkeypatch, settings):
    settings.BEATKEEPER = {"drain_seconds": 60}
    monkeypatch.setattr(stopping, "stop", stopping.Stop())
    return stopping.stop


def test_what_runs_may_go_on_for_the_drain_time(stop, later):
    stopping.hear(how="Warm")
    assert later == [(0, "_leave"), (60, "_interrupt")]


def test_one_signal_that_arrives_twice_is_one(stop, later):
    stop.begin()
    stop.begin()
    assert later == [(0, "_leave"), (60, "_interrupt")]


def test_a_second_signal_ends_the_patience_and_a_third_changes_nothing(stop, later, monkeypatch):
    stop.begin()
    monkeypatch.setattr(stopping, "ONE_KEYSTROKE", -1)
    stop.begin()
    stop.begin()
    assert later[2:] == [(0, "_interrupt")]


def test_a_cold_shutdown_waits_for_nobody(stop, later):
    stopping.hear(how="Cold")
    assert later == [(0, "_interrupt")]


def test_celerys_way_to_cancel_a_message_is_ours(stop, later):
    Request().cancel(pool=None)
    assert later == [(0, "_interrupt")]


def test_a_stop_without_a_signal_is_noticed_by_the_bootstep(stop, later):
    stopping.Drain(SimpleNamespace()).close(None)
    assert later[-1] == (60, "_interrupt")


def test_the_bootstep_does_not_count_as_a_second_signal(stop, later, monkeypatch):
    monkeypatch.setattr(stopping, "ONE_KEYSTROKE", -1)
    stop.begin()
    stopping.Drain(SimpleNamespace()).close(None)
    assert later == [(0, "_leave"), (60, "_interrupt")]


def test_messages_that_were_taken_and_not_begun_are_rung_for_again(requests):
    soon = make_run(make_schedule("soon"), state="queued", redispatch_at="2099-01-01T00:00:00Z")
    runs = make_run(make_schedule("runs"), state="queued", redispatch_at="2099-01-01T00:00:00Z")
    begun = Request(run_id=runs.pk)
    requests.reserved_requests |= {Request(run_id=soon.pk), begun, object()}
    requests.active_requests.add(begun)

    stopping.ring_again()

    # A moment later, at the next look: SQLite's clock counts milliseconds.
    assert list(Run.objects.filter(redispatch_at__lte=database_now() + timedelta(seconds=1))) == [soon]


def test_a_run_that_has_begun_elsewhere_is_not_rung_for(requests):
    run = make_run(make_schedule())
    claimed(run)
    requests.reserved_requests.add(Request(run_id=run.pk))
    stopping.ring_again()
    assert Run.objects.get().redispatch_at is None


def test_a_database_that_is_away_does_not_keep_a_worker_from_stopping(requests, monkeypatch, stop, later):
    def away(*_):
        raise OperationalError("away")

    monkeypatch.setattr(RunQuerySet, "ring_again", away)
    requests.reserved_requests.add(Request())
    stopping.Drain(SimpleNamespace()).close(None)


def test_a_worker_that_stops_begins_nothing(here, stop):
    run = make_run(make_schedule())
    stopping._leave()
    execute.execute(run.pk)
    assert Run.objects.get().state == "pending"


def test_only_children_that_execute_our_attempts_are_asked(requests, monkeypatch):
    asked = []
    monkeypatch.setattr(stopping.os, "kill", lambda pid, number: asked.append((pid, number)))
    requests.active_requests |= {Request(worker_pid=4711), Request(worker_pid=os.getpid()), Request()}
    requests.active_requests.add(SomebodyElses())
    stopping._interrupt()
    assert asked == [(4711, signal.SIGUSR2)]


def test_an_interruption_lasts_until_what_runs_has_ended(here):
    ended = threading.Event()
    execution = process.Execution(uuid.uuid4(), ended.set, grace=60)
    with here.executing(execution):
        interrupting = threading.Thread(target=stopping.interrupt_here)
        interrupting.start()
        assert ended.wait(60)
        interrupting.join(0.3)
        assert interrupting.is_alive()
    interrupting.join(60)
    assert not interrupting.is_alive()
    assert execution.ended_by == process.End.INTERRUPT


class Gone(BaseException):
    pass


def gone(status):
    raise Gone(status)


def test_what_does_not_heed_is_recorded_and_ends_with_its_process(here, monkeypatch):
    claim = claimed(make_run(make_schedule()), here.worker)
    monkeypatch.setattr(stopping.os, "_exit", gone)
    deaf = process.Execution(claim.attempt.token, lambda: None, grace=0)
    with here.executing(deaf), pytest.raises(Gone):
        stopping.interrupt_here()
    run = Run.objects.get()
    assert (run.state, run.reason, run.attempts.get().outcome) == ("lost", "worker_stopped", "interrupted")


def test_a_command_is_waited_for_because_its_runner_ends_it(here):
    command = process.Execution(uuid.uuid4(), lambda: None)
    assert not stopping.is_deaf(command, 1e9)


def test_while_a_command_is_ended_in_order_a_deaf_task_beside_it_is_borne(here, monkeypatch):
    monkeypatch.setattr(stopping.os, "_exit", gone)
    monkeypatch.setattr(rescue, "rescue_deaf", lambda tokens: None)
    task = process.Execution(uuid.uuid4(), lambda: None, grace=0)
    command = process.Execution(uuid.uuid4(), lambda: None)
    with here.executing(task):
        with here.executing(command):
            interrupting = threading.Thread(target=stopping.interrupt_here, daemon=True)
            interrupting.start()
            interrupting.join(0.5)
            assert interrupting.is_alive()
        monkeypatch.setattr(threading, "excepthook", lambda *_: None)
        interrupting.join(60)
        assert not interrupting.is_alive()


def test_somebody_elses_task_in_the_same_process_is_waited_for(here, requests, monkeypatch):
    monkeypatch.setattr(stopping.os, "_exit", gone)
    requests.active_requests.add(SomebodyElses())
    deaf = process.Execution(uuid.uuid4(), lambda: None, grace=0)
    with here.executing(deaf):
        interrupting = threading.Thread(target=stopping.interrupt_here, daemon=True)
        interrupting.start()
        time.sleep(0.5)
        assert interrupting.is_alive()
    interrupting.join(60)
    assert not interrupting.is_alive()


def test_what_a_leaving_worker_takes_and_does_not_begin_is_rung_again(here):
    """Between the signal and the moment at which Celery closes the pool."""
    here.is_leaving.set()
    later = database_now() + timedelta(minutes=10)
    run = make_run(make_schedule(), state="queued", dispatches=5, redispatch_at=later)

    execute.execute(run.pk)

    run.refresh_from_db()
    assert run.redispatch_at <= database_now()
    here.database.close()


def test_the_active_messages_can_be_looked_at_while_they_begin_and_end():
    active: WeakSet[Request] = WeakSet(kept := [Request(run_id=number) for number in range(400)])
    over = threading.Event()

    def end_and_begin():
        while not over.is_set():
            for each in kept[:50]:
                active.discard(each)
            for each in kept[:50]:
                active.add(each)

    threads = [threading.Thread(target=end_and_begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2000):
            assert len(stopping._ours(active)) >= 350
    finally:
        over.set()
        for thread in threads:
            thread.join()
