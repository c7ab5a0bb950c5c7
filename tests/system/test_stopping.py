"""A worker that is told to stop: what is short ends by itself, the rest is ended in order, and it is gone."""

from __future__ import annotations

import signal
import time

import pytest

from schedules import stopping
from schedules.models import Run, Worker
from tests.factories import make_manual, make_run, make_task_schedule
from tests.system.cluster import PATIENCE, running, wait_for

STOPPING = "worker: Warm shutdown"
"""What Celery's worker prints."""

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


def state_of(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def wait_for_state(run: Run, state: str) -> Run:
    wait_for(lambda: state_of(run) == state, f"run becomes {state}")
    return Run.objects.get(pk=run.pk)


def test_what_is_short_ends_by_itself_and_what_was_not_begun_goes_to_the_next_worker(cluster, tmp_path):
    cluster.environment |= {"BEATKEEPER_DRAIN_SECONDS": "60", "BEATKEEPER_REDISPATCH_SECONDS": "300,300"}
    cluster.beat()
    first = cluster.commands("first", slots=1)
    end = tmp_path / "end"
    short = make_run(make_manual("short", command=f"until [ -e {end} ]; do sleep 0.1; done; echo done"))
    wait_for_state(short, "running")
    waiting = [make_run(make_manual(f"waits {n}", command="echo later")) for n in range(3)]
    for run in waiting:
        wait_for_state(run, "queued")

    first.terminate()
    wait_for(lambda: STOPPING in cluster.logs(), "the worker has heard it")
    cluster.commands("second")
    end.touch()

    assert first.wait(PATIENCE) == 0
    assert state_of(short) == "succeeded"
    for run in waiting:
        assert wait_for_state(run, "succeeded").attempts.get().worker_name == "second@tests"


def test_a_second_signal_is_impatience(cluster, marked):
    cluster.environment["BEATKEEPER_DRAIN_SECONDS"] = "3600"
    cluster.beat()
    worker = cluster.commands()
    run = make_run(make_manual(command=f"sleep {marked} & setsid sleep {marked} & wait"))
    wait_for(lambda: len(running(f"sleep\0{marked}")) == 2, "the command runs")

    worker.terminate()
    wait_for(lambda: STOPPING in cluster.logs(), "the worker has heard it")
    time.sleep(2 * stopping.ONE_KEYSTROKE)  # sooner, it would be the same signal again
    assert state_of(run) == "running"
    worker.terminate()

    assert worker.wait(PATIENCE) == 0
    assert not running(marked)
    stopped = wait_for_state(run, "lost")
    assert (stopped.reason, stopped.attempts.get().outcome) == ("worker_stopped", "interrupted")


def test_sigquit_ends_in_order_and_at_once(cluster, marked):
    cluster.environment["BEATKEEPER_DRAIN_SECONDS"] = "3600"
    cluster.beat()
    workers = [cluster.commands(), cluster.tasks()]
    runs = [
        make_run(make_manual(command=f"sleep {marked}")),
        make_run(make_task_schedule(task="sample.sleep", args="[3600]")),
    ]
    for run in runs:
        wait_for_state(run, "running")

    for worker in workers:
        worker.send_signal(signal.SIGQUIT)

    for worker, run in zip(workers, runs, strict=True):
        assert worker.wait(PATIENCE) == 0
        stopped = wait_for_state(run, "lost")
        assert (stopped.reason, stopped.attempts.get().outcome) == ("worker_stopped", "interrupted")
    assert not running(marked)
    assert not Worker.objects.alive().exists()


def test_a_task_that_heeds_nothing_does_not_keep_its_worker(cluster):
    cluster.environment["BEATKEEPER_DRAIN_SECONDS"] = "0"
    cluster.beat()
    workers = [cluster.tasks(), cluster.tasks("others", pool="threads")]
    schedules = [
        make_task_schedule(name, task="sample.stubborn", args="[3600]", kill_grace=1) for name in "ab"
    ]
    runs = [make_run(schedule) for schedule in schedules]
    for run in runs:
        wait_for_state(run, "running")
    assert Run.objects.values("worker").distinct().count() == 2

    for worker in workers:
        worker.terminate()

    for worker, run in zip(workers, runs, strict=True):
        worker.wait(PATIENCE)
        stopped = wait_for_state(run, "lost")
        assert (stopped.reason, stopped.attempts.get().outcome) == ("worker_stopped", "interrupted")
        assert "until its process was ended" in stopped.attempts.get().error


def test_a_worker_stopped_by_remote_control_hands_over_what_may_be_repeated(cluster, tmp_path):
    cluster.environment["BEATKEEPER_DRAIN_SECONDS"] = "0"
    cluster.beat()
    old = cluster.commands("old")
    flag = tmp_path / "second-time"
    command = f"if [ -e {flag} ]; then echo done; else touch {flag}; exec sleep 3600; fi"
    run = make_run(make_manual(command=command, on_worker_lost="retry"))
    wait_for(flag.exists, "the first attempt runs")

    cluster.commands("new")
    cluster.celery("control", "shutdown", "--destination", "old@tests", "--timeout", "0.2")

    assert old.wait(PATIENCE) == 0
    done = wait_for_state(run, "succeeded")
    assert [attempt.outcome for attempt in done.attempts.order_by("number")] == ["interrupted", "succeeded"]
