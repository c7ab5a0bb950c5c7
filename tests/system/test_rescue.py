"""Nobody who lives is taken for dead: pauses, outages of the database, and a clock that jumps."""

from __future__ import annotations

import os
import signal
import time

import pytest
from django.core.management import call_command
from django.db import connection

from schedules import auditing, dispatch, operate
from schedules.models import Attempt, Run
from schedules.querysets import database_now
from tests.conftest import _missing
from tests.factories import make_manual, make_run, make_schedule
from tests.system import own_server
from tests.system.cluster import PATIENCE, Cluster, running, wait_for

LEASE = 5
HOUR = 3600

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

# A run on SQLite has no use for them: the server is the test's own, whatever the others use.
needs_a_server = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no server to stop, and no clock but the host's"
)


def state_of(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def wait_for_state(run: Run, state: str) -> Run:
    wait_for(lambda: state_of(run) == state, f"run becomes {state}")
    return Run.objects.get(pk=run.pk)


def test_a_pause_of_five_leases_wrongs_nobody_who_lives(cluster, marked):
    cluster.environment["BEATKEEPER_LEASE_SECONDS"] = str(LEASE)
    paused_beat, _ = cluster.beat(), cluster.beat()
    cluster.commands("lives", slots=1)
    kept = make_run(make_manual("kept", command=f"exec sleep 1{marked}"))
    wait_for_state(kept, "running")
    paused_worker = cluster.commands("paused", slots=1)
    taken = make_run(make_manual("taken", command=f"exec sleep {marked}"))
    wait_for_state(taken, "running")

    for process in (paused_beat, paused_worker):
        os.kill(process.pid, signal.SIGSTOP)
    lost = wait_for_state(taken, "lost")
    time.sleep(4 * LEASE)  # the length of the pause is the matter of this test
    assert running(f"sleep\0{marked}")  # a command does not stop with its worker
    for process in (paused_beat, paused_worker):
        os.kill(process.pid, signal.SIGCONT)

    # The worker ends what is no longer its own, and its result is a note.
    attempt = wait_for(lambda: Attempt.objects.exclude(late_result="").first(), "the late result is noted")
    assert (lost.reason, attempt.run_id, attempt.outcome) == ("worker_lost", taken.pk, "worker_lost")
    assert not running(f"sleep\0{marked}")
    # And the beat that was paused has looked again, without taking anybody for dead.
    time.sleep(LEASE)
    assert (state_of(kept), state_of(taken)) == ("running", "lost")
    operate.cancel(Run.objects.get(pk=kept.pk), by="tests")
    wait_for_state(kept, "cancelled")


@pytest.fixture(scope="module")
def server():
    if own_server.libfaketime() is None:
        _missing("libfaketime")
    with own_server.server() as server:
        yield server


@pytest.fixture
def ours(server, tmp_path, redis_url):
    """A cluster on a server that the test stops, and whose clock it sets."""
    with own_server.default_database(server.url):
        cluster = Cluster(redis_url, tmp_path)
        cluster.environment["BEATKEEPER_LEASE_SECONDS"] = str(LEASE)
        yield cluster
        cluster.close()
        print(cluster.logs())
        connection.close()
        call_command("flush", interactive=False, inhibit_post_migrate=True, verbosity=0)


def findings() -> list[str]:
    """What is wrong with the history, once all that is due has been decided."""
    while dispatch.dispatch_due(database_now()):
        pass
    return [finding.wrong for _, finding in auditing.audit().findings()]


@needs_a_server
def test_an_outage_of_the_database_loses_no_result_and_takes_nobody_for_dead(server, ours, marked, tmp_path):
    # Longer than the two seconds in which a worker looks into the spool, on a busy machine too.
    lease = 2 * LEASE
    ours.environment |= {"BEATKEEPER_LEASE_SECONDS": str(lease), "BEATKEEPER_DRAIN_SECONDS": "0"}
    ours.beat()
    leaving = ours.commands("leaving", slots=1)
    left = make_run(make_manual("left", command=until_the_end(tmp_path, "left")))
    wait_for_state(left, "running")
    ours.commands("staying", slots=2)
    ends = make_run(make_manual("ends", command=until_the_end(tmp_path, "ends")))
    lasts = make_run(make_manual("lasts", command=f"exec sleep {marked}"))
    for run in (ends, lasts):
        wait_for_state(run, "running")

    server.crash()
    (tmp_path / "end").touch()
    spool = tmp_path / "state" / "spool"
    wait_for(lambda: len(list(spool.glob("*.json"))) == 2, "both results are kept")
    leaving.terminate()
    leaving.wait(PATIENCE)
    time.sleep(lease)
    server.start()
    connection.close()
    ours.commands("next", slots=1)

    for run in (left, ends):
        attempt = wait_for_state(run, "succeeded").attempts.get()
        assert attempt.output.text == f"{run.name} ended\n"
        assert "before this could be recorded" in attempt.notes
    wait_for(lambda: not list(spool.iterdir()), "the spool is empty")
    time.sleep(1.5 * lease)
    assert (state_of(lasts), running(f"sleep\0{marked}") != []) == ("running", True)
    assert not Attempt.objects.filter(outcome="worker_lost").exists()
    operate.cancel(lasts, by="tests")
    wait_for_state(lasts, "cancelled")
    assert findings() == []


def until_the_end(directory, name) -> str:
    return f"while ! [ -e {directory}/end ]; do sleep 0.1; done; echo {name} ended"


@needs_a_server
def test_a_clock_that_jumps_two_hours_and_back_starts_no_storm_and_takes_nobody_for_dead(
    server, ours, marked
):
    minutely = [make_schedule(name, catch_up=name, command="true") for name in ("skip", "latest")]
    ours.beat()
    ours.commands()
    lasts = make_run(make_manual("lasts", command=f"exec sleep {marked}"))
    wait_for_state(lasts, "running")
    before = Run.objects.count()

    server.set_clock(2 * HOUR)
    wait_for(lambda: missed().count() == 2, "what was missed is accounted for")
    wait_for(lambda: not Run.objects.active().exclude(pk=lasts.pk).exists(), "what was due is executed")

    # Of 120 instants each, what is no older than a minute starts, and one late run where that is wanted.
    for schedule in minutely:
        [gap] = missed().filter(schedule=schedule)
        assert 117 <= gap.missed_count <= 120
        assert started(schedule).count() <= 3
    assert Run.objects.count() - before <= 8

    server.set_clock(0)
    known = set(Run.objects.values_list("pk", flat=True))
    time.sleep(2 * LEASE)
    again = make_run(make_manual("again", command="echo works"))
    wait_for_state(again, "succeeded")
    assert set(Run.objects.values_list("pk", flat=True)) == known | {again.pk}
    assert (state_of(lasts), running(f"sleep\0{marked}") != []) == ("running", True)
    assert not Attempt.objects.filter(outcome="worker_lost").exists()
    operate.cancel(lasts, by="tests")
    wait_for_state(lasts, "cancelled")
    ours.close()
    assert set(findings()) == {"wrong_next"}  # two hours of silence, of which the audit warns
    server.set_clock(2 * HOUR)
    assert findings() == []


def missed():
    return Run.objects.filter(state="skipped", reason="missed")


def started(schedule):
    return Run.objects.filter(schedule=schedule, attempt__gt=0)
