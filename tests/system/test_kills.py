"""Kill anything at the worst moment: nothing is lost, nothing is doubled, no process stays behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from django_celery_beat.models import IntervalSchedule

from schedules import auditing, operate
from schedules.models import Attempt, Run, Worker
from tests.factories import make_manual, make_run, make_schedule, make_task_schedule
from tests.system.cluster import PATIENCE, running, wait_for

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]


def state_of(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def wait_for_state(run: Run, state: str) -> Run:
    wait_for(lambda: state_of(run) == state, f"run becomes {state}")
    return Run.objects.get(pk=run.pk)


def test_a_killed_worker_leaves_no_process_and_its_run_is_lost(cluster, marked):
    cluster.beat()
    worker = cluster.commands()
    run = make_run(make_manual(command=f"sleep {marked} & setsid sleep {marked} & wait"))
    wait_for(lambda: len(running(f"sleep\0{marked}")) == 2, "the command runs")

    worker.kill()

    wait_for(lambda: not running(marked), "no process of the command is alive")
    lost = wait_for_state(run, "lost")
    assert (lost.reason, lost.attempt) == ("worker_lost", 1)
    assert Attempt.objects.get().outcome == "worker_lost"


def test_a_run_that_may_be_repeated_is_executed_by_the_next_worker(cluster, tmp_path):
    cluster.beat()
    worker = cluster.commands("first")
    flag = tmp_path / "second-time"
    schedule = make_manual(
        command=f"if [ -e {flag} ]; then echo done; else touch {flag}; sleep 3600; fi", on_worker_lost="retry"
    )
    run = make_run(schedule)
    wait_for(flag.exists, "the first attempt runs")

    worker.kill()
    cluster.commands("second")

    done = wait_for_state(run, "succeeded")
    assert [attempt.outcome for attempt in done.attempts.order_by("number")] == ["worker_lost", "succeeded"]


def test_a_killed_prefork_child_is_noticed_by_its_parent(cluster):
    cluster.environment["BEATKEEPER_LEASE_SECONDS"] = "60"  # so that beat is not quicker
    cluster.beat()
    cluster.tasks()
    run = make_run(make_task_schedule(task="sample.die"))

    lost = wait_for_state(run, "lost")

    assert "the worker process died" in lost.detail
    again = make_run(make_task_schedule("next", task="sample.add", args="[1, 2]"))
    assert wait_for_state(again, "succeeded")


def test_an_idle_prefork_child_that_is_killed_stops_nothing_else(cluster):
    """It waits for the next task: where children share a pipe, with a lock that its successor needs."""
    cluster.beat()
    parent = cluster.tasks()
    first = make_run(make_task_schedule("first", task="sample.add", args="[1, 2]"))
    child = wait_for_state(first, "succeeded").attempts.get().pid
    wait_for(lambda: is_asleep(child), "the child waits for a task")

    os.kill(child, signal.SIGKILL)

    second = make_run(make_task_schedule("second", task="sample.add", args="[3, 4]"))
    assert wait_for_state(second, "succeeded").attempts.get().pid != child
    parent.terminate()
    assert parent.wait(30) == 0


def is_asleep(pid: int) -> bool:
    """Three times in a row, and without any time of a processor in between."""
    looks = set()
    for _ in range(3):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        looks.add((fields[0], fields[11], fields[12]))
        time.sleep(0.05)
    return len(looks) == 1 and looks.pop()[0] == "S"


def test_a_task_beyond_its_timeout_is_ended_politely_and_then_by_force(cluster):
    cluster.beat()
    cluster.tasks()
    polite = make_run(make_task_schedule("polite", task="sample.sleep", args="[60]", timeout=1))
    assert "longer than its timeout" in wait_for_state(polite, "timed_out").attempts.get().error
    stubborn = make_task_schedule("stubborn", task="sample.stubborn", args="[60]", timeout=1, kill_grace=0)
    assert wait_for_state(make_run(stubborn), "timed_out").attempts.get().outcome == "timed_out"


def test_cancel_ends_the_command_with_everything_it_started(cluster, marked):
    cluster.beat()
    cluster.commands()
    run = make_run(make_manual(command=f"sleep {marked} & setsid sleep {marked} & wait"))
    wait_for(lambda: len(running(f"sleep\0{marked}")) == 2, "the command runs")

    operate.cancel(Run.objects.get(pk=run.pk), by="me")

    assert wait_for_state(run, "cancelled").attempts.get().outcome == "cancelled"
    assert not running(marked)


def test_a_worker_that_is_told_to_stop_interrupts_what_it_runs(cluster, marked):
    cluster.beat()
    worker = cluster.commands()
    run = make_run(make_manual(command=f"sleep {marked}"))
    wait_for(lambda: running(f"sleep\0{marked}"), "the command runs")

    worker.terminate()

    assert worker.wait(PATIENCE) == 0
    assert not running(marked)
    stopped = wait_for_state(run, "lost")
    assert (stopped.reason, stopped.attempts.get().outcome) == ("worker_stopped", "interrupted")
    assert not Worker.objects.alive().exists()


def test_a_beat_that_dies_between_commit_and_publish_loses_nothing(cluster):
    cluster.commands()
    run = make_run(make_manual(command="echo survived"))
    dying = cluster.beat(module="tests.system.dying_beat")
    assert dying.wait(PATIENCE) == -signal.SIGKILL
    assert state_of(run) == "queued"

    cluster.beat()

    done = wait_for_state(run, "succeeded")
    assert (done.dispatches, done.attempts.count()) == (2, 1)


def test_whichever_beat_is_killed_each_due_instant_is_decided_once(cluster):
    every_second = IntervalSchedule.objects.create(every=1, period="seconds")
    for number in range(20):
        make_schedule(f"tick {number}", cron="", interval=every_second)
    beats = [cluster.beat(), cluster.beat()]

    for kills in range(1, 5):
        wait_for(lambda kills=kills: Run.objects.count() > 60 * kills, "the beats decide")
        beats.pop(0).kill()
        beats.append(cluster.beat())

    assert auditing.audit().due > 200


def test_a_purged_queue_is_filled_again(cluster):
    beat = cluster.beat()
    run = make_run(make_manual())
    wait_for(lambda: state_of(run) == "queued", "the run is queued")
    beat.terminate()
    beat.wait()

    assert "Purged" in cluster.celery("purge", "-f", "-Q", "commands")
    cluster.commands()
    cluster.beat()

    done = wait_for_state(run, "succeeded")
    assert done.dispatches >= 2
    assert done.attempts.count() == 1


def test_a_doubled_message_makes_one_attempt(cluster):
    cluster.commands()
    first, second = make_run(make_manual("a")), make_run(make_manual("b"))
    for run_id in (first.pk, first.pk, first.pk, second.pk):
        cluster.celery("call", "schedules.run_attempt", "-a", f"[{run_id}]", "--queue", "commands")

    wait_for_state(second, "succeeded")
    assert wait_for_state(first, "succeeded").attempts.count() == 1


def test_the_fence_holds_when_a_stopped_worker_goes_on(cluster, marked):
    cluster.beat()
    worker = cluster.commands()
    run = make_run(make_manual(command=f"sleep {marked}"))
    wait_for(lambda: running(f"sleep\0{marked}"), "the command runs")

    os.kill(worker.pid, signal.SIGSTOP)
    assert wait_for_state(run, "lost").reason == "worker_lost"
    os.kill(worker.pid, signal.SIGCONT)

    # It finds that the run was taken away, ends the command, and changes nothing but a note.
    attempt = wait_for(lambda: Attempt.objects.exclude(late_result="").first(), "the late result is noted")
    assert attempt.outcome == "worker_lost"
    assert "interrupted" in attempt.late_result
    assert not running(marked)
    assert state_of(run) == "lost"


def test_two_beats_and_two_workers_execute_everything_once(cluster, tmp_path):
    for _ in range(2):
        cluster.beat()
    cluster.commands("a"), cluster.commands("b")
    record = tmp_path / "record"
    runs = [make_run(make_manual(f"job {n}", command=f"echo $RUN_ID >> {record}")) for n in range(20)]

    for run in runs:
        wait_for_state(run, "succeeded")

    assert sorted(map(int, record.read_text().split())) == sorted(run.pk for run in runs)
    assert Attempt.objects.count() == len(runs)


def test_a_stopping_worker_interrupts_its_task_children_too(cluster):
    cluster.beat()
    worker = cluster.tasks()
    run = make_run(make_task_schedule(task="sample.sleep", args="[3600]"))
    wait_for(lambda: state_of(run) == "running", "the task runs")

    worker.terminate()

    assert worker.wait(PATIENCE) == 0
    stopped = wait_for_state(run, "lost")
    assert (stopped.reason, stopped.attempts.get().outcome) == ("worker_stopped", "interrupted")
