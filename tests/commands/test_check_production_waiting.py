"""`check_production` on runs that nobody begins: how long, in which queue, and what its workers do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext

from schedules import catalog
from schedules.models import Run
from schedules.production import fleet as production_fleet
from schedules.production import waiting as production_waiting
from schedules.querysets import database_now
from schedules.rules.production import Level
from schedules.rules.states import State
from tests.commands.findings import fleet
from tests.factories import claimed, make_manual, make_run, make_task_schedule, make_worker

pytestmark = pytest.mark.django_db

MINUTES = timedelta(minutes=1)


def look():
    return list(production_waiting.look(production_fleet.Snapshot(database_now())))


def waiting():
    """The one finding that there is about runs that wait."""
    [found] = look()
    assert found.code == "runs.waiting"
    return found


def make_waiting(schedule=None, *, minutes=10.0, **columns):
    """A run that became due so long ago, and was sent a moment ago."""
    due_at = database_now() - minutes * MINUTES
    sent = {"state": "queued", "dispatches": 1, "queued_at": database_now(), "redispatch_at": database_now()}
    return make_run(schedule or make_manual(), **({"available_at": due_at} | sent | columns))


@pytest.fixture
def worker(db):
    return make_worker("w@a", queues="commands,tasks")


def test_fifty_runs_that_nobody_has_begun_for_six_hours_are_an_error(worker):
    """Their messages were sent once: a queue that is as long as it should be is not rung for again."""
    schedule = make_manual()
    for _ in range(50):
        make_waiting(schedule, minutes=360)
    found = waiting()
    assert found.level == Level.ERROR
    assert found.what == (
        '50 runs wait in the queue "commands", the oldest for 6 h; '
        "alive, serving it and beginning none of them: w@a."
    )
    assert "beatkeeper-worker" in found.run


@pytest.mark.parametrize(
    ("minutes", "level"),
    [(4.9, Level.OK), (5.1, Level.WARNING), (59.9, Level.WARNING), (60.1, Level.ERROR)],
)
def test_a_wait_is_a_warning_from_five_minutes_and_an_error_from_an_hour(worker, minutes, level):
    make_waiting(minutes=minutes)
    assert waiting().level == level


def test_no_run_that_waits_is_in_order():
    assert waiting().level == Level.OK


def test_an_attempt_that_waits_for_its_message_counts_from_when_it_was_due(worker):
    make_waiting(attempt=1, minutes=7)
    assert "1 run waits" in waiting().what
    Run.objects.update(available_at=database_now() + MINUTES)  # its retry is later
    assert waiting().level == Level.OK


def test_runs_that_were_not_sent_count_beside_others_that_were(worker):
    schedule = make_manual()
    make_waiting(schedule, minutes=6)
    make_waiting(schedule, minutes=90, state="pending", redispatch_at=None)
    assert '2 runs wait in the queue "commands", the oldest for 90 min' in waiting().what


def test_runs_that_were_not_sent_at_all_are_said_to_be_unsent_and_no_more(worker):
    make_waiting(state="pending", redispatch_at=None)
    assert waiting().level == Level.OK


def test_workers_that_are_busy_are_told_from_those_that_begin_nothing(worker):
    schedule = make_manual(overlap="allow")
    claimed(make_run(schedule), worker)
    Run.objects.filter(worker=worker).update(started_at=database_now() - 300 * MINUTES)
    make_waiting(schedule)
    found = waiting()
    assert "its workers are all busy: w@a (1 running)" in found.what
    assert found.run == "celery -A scheduler inspect active"
    make_worker("idle@b", queues="commands")
    assert "beginning none of them: idle@b." in waiting().what


def test_a_worker_of_short_runs_is_busy_between_two_of_them(worker):
    schedule = make_manual()
    begun = claimed(make_run(schedule), worker)
    Run.objects.finish(begun.run.pk, begun.attempt.token, state=State.SUCCEEDED)
    make_waiting(schedule)
    assert "busy: w@a (0 running)" in waiting().what


def test_a_worker_that_begins_runs_of_other_queues_alone_is_not_busy(worker):
    begun = claimed(make_run(make_manual()), worker)
    Run.objects.finish(begun.run.pk, begun.attempt.token, state=State.SUCCEEDED)
    make_waiting(make_task_schedule(task="a.b", queue="tasks"))
    assert "beginning none of them: w@a" in waiting().what


def test_children_of_one_worker_are_judged_together(worker):
    make_worker(worker.name, queues=worker.queues, pid=2)
    schedule = make_manual(overlap="allow")
    claimed(make_run(schedule), worker)
    make_waiting(schedule)
    assert "busy: w@a (1 running)" in waiting().what


def test_workers_of_other_queues_have_no_part_in_it(worker):
    make_worker("other@b", queues="reports")
    make_waiting()
    assert "other@b" not in waiting().what


def test_each_queue_is_judged_by_itself_the_oldest_first(worker):
    make_waiting(make_manual("a"), minutes=10)
    make_waiting(make_task_schedule("b", task="a.b", queue="tasks"), minutes=100)
    found = look()
    assert [('"tasks"' in each.what, each.level) for each in found] == [
        (True, Level.ERROR),
        (False, Level.WARNING),
    ]


def test_a_task_that_names_no_queue_waits_where_celerys_routing_sends_it(worker):
    make_waiting(make_task_schedule(task="a.b"))
    queue = current_app.conf.task_default_queue
    worker.queues = queue
    worker.save()
    assert f'in the queue "{queue}"' in waiting().what


def test_a_queue_that_nobody_serves_is_said_once(good_fleet):
    """By the queue's own finding."""
    good_fleet.queues = "tasks"
    good_fleet.save()
    make_waiting()
    assert look() == []
    assert fleet()["queues.unread"].level == Level.ERROR


def test_no_worker_at_all_is_said_once():
    make_waiting()
    assert look() == []
    assert fleet()["workers.none"].level == Level.ERROR


@pytest.mark.parametrize("change", [{"enabled": False}, {"queue": "tasks"}])
def test_a_queue_that_no_schedule_uses_any_more_is_named_by_its_runs(settings, good_fleet, change):
    settings.BEATKEEPER = {"queues": ()}
    schedule = make_manual(queue="old")
    make_waiting(schedule, minutes=90)
    catalog.change([schedule.pk], by="tests", **change)
    found = waiting()
    assert found.level == Level.ERROR
    assert 'in the queue "old", the oldest for 90 min; no live worker serves it' in found.what
    assert found.run == "celery -A scheduler worker -Q old"
    assert "queues.unread" not in fleet()


def test_messages_to_another_codebase_wait_for_no_worker_of_ours(worker):
    make_waiting(make_task_schedule(task="a.b", delivery="message", queue="theirs"))
    assert waiting().level == Level.OK


def test_runs_are_read_along_the_small_indexes_of_their_states(worker):
    """However long the history: neither engine may read the table, or all that a worker ever ran."""
    make_waiting()
    with CaptureQueriesContext(connection) as asked:
        look()
    queries = [query["sql"] for query in asked if 'FROM "schedules_run"' in query["sql"]]
    assert [index_of(plan) for plan in plans(queries)] == ["run_queued", "run_pending", "run_running"]


def plans(queries):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # the tables are nearly empty
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        for query in queries:
            cursor.execute(f"{explain} {query}")
            yield repr(cursor.fetchall())


def index_of(plan):
    """The index of runs by which a plan goes."""
    return re.search(r"(?:INDEX|using) (run_[a-z_]+)", plan)[1]
