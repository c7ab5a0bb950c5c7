"""The rows of beats and workers: which one is missing, and which one only made room for another."""

from __future__ import annotations

import socket
from datetime import datetime, timedelta

import pytest
from celery import current_app

from schedules import beat
from schedules.beat import Engine
from schedules.models import Beat, Worker
from schedules.querysets import database_now
from tests.factories import claimed, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db(transaction=True)


def killed_earlier(**columns) -> Beat:
    """A beat of this host that has sent no heartbeat for five minutes."""
    now = database_now()
    given = {
        "name": Engine(current_app).name,
        "host": socket.gethostname(),
        "pid": 1,
        "started_at": now - timedelta(hours=1),
        "seen_at": now - timedelta(minutes=5),
    }
    return Beat.objects.create(**given | columns)


def started_again() -> Engine:
    """The beat of this host, with one step of its rescue done."""
    engine = Engine(current_app)
    engine._beat()
    engine._rescue()
    return engine


def stopped(row: Beat | Worker) -> bool:
    row.refresh_from_db()
    return row.stopped_at is not None


def test_a_beat_that_was_killed_and_started_again_is_not_missing():
    old = killed_earlier()

    engine = started_again()

    assert stopped(old)
    assert old.stopped_at == old.seen_at  # when it was last heard of
    assert engine.row is not None
    assert not stopped(engine.row)


def test_a_beat_of_another_host_stays_missing():
    other = killed_earlier(host="elsewhere")

    started_again()

    assert not stopped(other)


def test_a_second_beat_of_the_host_that_is_alive_is_left_alone():
    twin = killed_earlier(seen_at=database_now())

    started_again()

    assert not stopped(twin)


def test_a_heartbeat_takes_the_verdict_back():
    paused = killed_earlier()
    started_again()

    assert Beat.objects.beat(paused.pk, {})

    assert not stopped(paused)


def test_a_worker_that_was_killed_and_started_again_is_not_missing_once_its_runs_are_ended():
    killed = make_worker("jobs@b", seen_at=database_now() - timedelta(minutes=5))
    idle = make_worker("jobs@c", seen_at=database_now() - timedelta(minutes=5))
    claimed(make_run(make_schedule()), killed)
    make_worker("jobs@b"), make_worker("jobs@c")

    started_again()

    assert stopped(idle)
    assert not stopped(killed)  # who stopped has no runs: their loss is not decided by the database's clock


def test_a_child_that_hangs_is_not_replaced_by_another_of_its_pool():
    """Children of one pool have one name, and come and go (`worker_max_tasks_per_child`)."""
    now = database_now()
    long_ago = now - timedelta(hours=1)
    hung = make_worker(parent_pid=1, started_at=long_ago, seen_at=now - timedelta(minutes=5))
    sibling = make_worker(parent_pid=1, started_at=long_ago)
    make_worker(parent_pid=1)

    started_again()
    assert not stopped(hung)

    # The whole pool was killed, and its parent started again under the same number, as in a container.
    Worker.objects.filter(pk=sibling.pk).update(seen_at=now - timedelta(minutes=5))
    started_again()
    assert stopped(hung)


def test_what_beat_says_of_its_parts_goes_by_the_clock_of_the_database(monkeypatch):
    """As everybody looks at it; its host's clock may be off."""
    theirs = database_now() + timedelta(minutes=5)
    monkeypatch.setattr(beat, "database_now", lambda: theirs)
    engine = Engine(current_app)
    engine.dispatch.has_progressed = True
    for _ in range(2):
        engine._due_at.clear()
        engine._beat()

    told = datetime.fromisoformat(Beat.objects.get(pk=engine.row.pk).parts["dispatch"])

    assert abs(theirs - told) < timedelta(minutes=1)


def test_a_worker_that_is_taken_for_dead_says_when_it_was_last_heard_of():
    killed = make_worker(seen_at=database_now() - timedelta(minutes=5))
    heard = killed.seen_at

    assert Worker.objects.stop_if_silent(killed)

    killed.refresh_from_db()
    assert (killed.vanished, killed.seen_at) == (True, heard)
    Worker.objects.stop(killed.pk)
    killed.refresh_from_db()
    assert not killed.vanished
