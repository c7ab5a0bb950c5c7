"""Runs become messages: marked first, sent then, put back where the broker refuses, sent again where lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError

from schedules import dispatch, publish, reconcile
from schedules.messages import outbox as outbox_module
from schedules.messages import ringing
from schedules.messages.outbox import Outbox
from schedules.models import Revision, Run, Schedule
from schedules.querysets import database_now
from tests.factories import claimed, due, make_run, make_schedule, make_task_schedule

pytestmark = pytest.mark.django_db


@pytest.fixture
def broker(monkeypatch):
    """Remembers messages as (run id, options); what `broker.fail` holds for a run is raised instead."""

    class Broker(list):
        fail: dict[int, Exception]

        def send(self, producer, name, message, **options):
            run_id = message.body[0][0]
            if run_id in self.fail:
                raise self.fail[run_id]
            self.append((run_id, options | message.headers))

    broker = Broker()
    broker.fail = {}
    monkeypatch.setattr(current_app.amqp, "send_task_message", broker.send)
    return broker


def test_a_pending_run_is_queued_and_sent_with_hints_only(broker):
    run = make_run(make_schedule(command="echo secret"))
    now = database_now()

    assert publish.publish_due(now) == 1

    run.refresh_from_db()
    assert (run.state, run.dispatches, run.queued_at) == ("queued", 1, now)
    assert run.redispatch_at > now
    [(run_id, options)] = broker
    assert run_id == run.pk
    assert options["queue"].name == "commands"
    assert options["shadow"] == "job"
    assert "secret" not in repr(options)


def test_a_task_goes_where_celery_would_send_it(broker):
    make_run(make_task_schedule(task="reports.daily", priority=4, timeout=60, kill_grace=10))

    publish.publish_due(database_now())

    [(_, options)] = broker
    assert options["queue"].name == "tasks"
    assert (options["priority"], options["headers"]["periodic_task_name"]) == (4, "task")
    assert options["timelimit"][0] == 60 + 10 + ringing.HARD_LIMIT_MARGIN


def test_a_run_that_waits_for_its_retry_is_not_sent_early(broker):
    make_run(make_schedule(), available_at=database_now() + timedelta(seconds=30))
    assert publish.publish_due(database_now()) == 0
    assert broker == []


def test_a_message_without_a_claim_is_sent_again_ever_more_slowly(broker, settings):
    settings.BEATKEEPER = {"redispatch_seconds": (30, 60, 300)}
    run = make_run(make_schedule())
    now = database_now()

    waits = []
    for _ in range(4):
        assert publish.publish_due(now) == 1
        run.refresh_from_db()
        waits.append((run.redispatch_at - now).total_seconds())
        assert publish.publish_due(run.redispatch_at - timedelta(seconds=1)) == 0
        now = run.redispatch_at

    assert waits == [30, 60, 300, 300]
    assert [run_id for run_id, _ in broker] == [run.pk] * 4


def test_a_broker_that_is_away_leaves_everything_pending(broker):
    runs = [make_run(make_schedule(str(number))) for number in range(3)]
    broker.fail = {run.pk: OperationalError("connection refused") for run in runs[1:]}
    now = database_now()

    with pytest.raises(OperationalError):
        publish.publish_due(now)

    waiting = Run.objects.filter(state="pending", available_at__lte=now, redispatch_at=None)
    assert waiting.count() == len(runs)  # in their places; the one that did go out finds its run waiting


def test_an_undeclared_queue_is_the_problem_of_its_run_alone(broker):
    lost = make_run(make_schedule("a"), queue="nowhere")
    fine = make_run(make_schedule("b"))

    assert publish.publish_due(database_now()) == 1

    lost.refresh_from_db(), fine.refresh_from_db()
    assert (lost.state, fine.state) == ("pending", "queued")


def test_a_run_whose_own_message_is_refused_does_not_stop_the_others(broker):
    first, second = make_run(make_schedule("a")), make_run(make_schedule("b"))
    broker.fail = {first.pk: KeyError("no such queue")}

    assert publish.publish_due(database_now()) == 1

    first.refresh_from_db(), second.refresh_from_db()
    assert (first.state, second.state) == ("pending", "queued")
    assert first.available_at > database_now() + timedelta(seconds=60)


def test_a_definition_that_nobody_here_can_read_stops_no_other_message(broker):
    """Its worker, perhaps of a later version, says what is wrong with it, if anything is."""
    unreadable = make_run(make_task_schedule("later", task="a.b"))
    definition = unreadable.revision.definition | {"overlap": "replace"}
    Revision.objects.filter(pk=unreadable.revision_id).update(definition=definition, digest="0" * 64)
    others = [make_run(make_task_schedule(f"{n}", task="a.b", headers='{"x": "y"}')) for n in range(2)]

    assert publish.publish_due(database_now()) == 3

    assert {run_id for run_id, _ in broker} == {unreadable.pk, *(run.pk for run in others)}


@pytest.mark.parametrize("delivery", [{"queue": ""}, {"delivery": "message", "queue": "shop"}])
def test_an_application_whose_routes_fail_for_one_task_keeps_the_others_waiting_no_longer(
    broker, monkeypatch, delivery
):
    def route(name, *_, **__):
        if name == "shop.bad":
            raise AttributeError("no tenant")

    monkeypatch.setattr(current_app.amqp.router, "routes", [route])
    monkeypatch.setitem(current_app.conf, "task_routes", [route])
    bad = make_run(make_task_schedule("bad", task="shop.bad", **delivery))
    good = make_run(make_task_schedule("good", task="shop.good"))

    assert publish.publish_due(database_now()) == 1

    assert [run_id for run_id, _ in broker] == [good.pk]
    bad.refresh_from_db()
    assert bad.state == "pending"
    assert 'task_routes fails for the task "shop.bad" (AttributeError: no tenant)' in bad.detail


def test_the_oldest_go_first_and_no_more_than_asked_for(broker):
    now = database_now()
    newer, older = make_run(make_schedule("a")), make_run(make_schedule("b"))
    Run.objects.filter(pk=older.pk).update(available_at=now - timedelta(minutes=5))

    assert publish.publish_due(database_now(), limit=1) == 1

    assert [run_id for run_id, _ in broker] == [older.pk]
    newer.refresh_from_db()
    assert newer.state == "pending"


def test_a_full_queue_takes_no_new_message_but_repeats_lost_ones(broker, settings):
    settings.BEATKEEPER = {"doorbells": 1}
    outstanding, waiting = make_run(make_schedule("a")), make_run(make_schedule("b"))
    Run.objects.filter(pk=outstanding.pk).update(
        state="queued", dispatches=1, redispatch_at=database_now() - timedelta(seconds=1)
    )

    publish.publish_due(database_now())

    assert [run_id for run_id, _ in broker] == [outstanding.pk]
    waiting.refresh_from_db()
    assert waiting.state == "pending"


def test_a_cancelled_run_is_not_sent(broker):
    run = make_run(make_schedule())
    Run.objects.filter(pk=run.pk).cancel_waiting(reason="cancelled_by_user", detail="")
    assert publish.publish_due(database_now()) == 0


def test_an_exchange_that_nobody_declared_is_the_problem_of_its_run_alone(broker):
    lost = make_task_schedule("lost", task="a.b")
    PeriodicTask.objects.filter(pk=lost.pk).update(exchange="nowhere", routing_key="x")  # not by our form
    reconcile.reconcile()
    make_run(Schedule.objects.get(pk=lost.pk))
    make_run(make_schedule("fine"))

    assert publish.publish_due(database_now()) == 1
    assert dict(Run.objects.values_list("name", "state")) == {"lost": "pending", "fine": "queued"}


def test_headers_of_a_schedule_never_replace_those_of_the_protocol(broker):
    headers = '{"id": "mine", "task": "os.system", "colour": "blue"}'
    make_run(make_task_schedule(task="a.b", headers=headers))
    publish.publish_due(database_now())
    [(_, options)] = broker
    assert options["headers"] == {"colour": "blue", "periodic_task_name": "task"}


def opened(*names, now):
    """Runs that dispatch has opened as queued, and the outbox that holds them."""
    outbox = Outbox(100)
    outbox.open()
    for name in names:
        due(make_schedule(name), now.replace(second=0, microsecond=0))
    dispatch.dispatch_due(now, outbox=outbox)
    return outbox


def test_what_dispatch_has_opened_is_rung_without_another_look_at_the_table(broker):
    now = database_now()
    outbox = opened("a", "b", now=now)

    assert publish.publish_opened(outbox) == 2

    assert sorted(run_id for run_id, _ in broker) == sorted(Run.objects.values_list("pk", flat=True))
    assert publish.publish_due(now) == 0  # marked already
    assert set(Run.objects.values_list("dispatches", flat=True)) == {1}


def test_no_message_waits_for_the_database(broker, monkeypatch):
    """Each question that is asked first makes every run of the instant a round trip later."""
    outbox = opened("a", "b", now=database_now())
    asked_before = []

    def send(bells):
        asked_before.append(len(captured))
        return []

    monkeypatch.setattr(publish, "_send_alike", send)
    with CaptureQueriesContext(connection) as captured:
        publish.publish_opened(outbox)

    assert asked_before == [0]
    assert len(captured) == 1  # what is outstanding, for the next


def test_a_broker_that_fails_sends_all_that_is_opened_back_to_the_table(broker):
    now = database_now()
    outbox = opened("a", "b", "c", now=now)
    broker.fail = dict.fromkeys(Run.objects.values_list("pk", flat=True), OperationalError("refused"))

    with pytest.raises(OperationalError):
        publish.publish_opened(outbox, limit=1)

    waiting = Run.objects.filter(state="pending", available_at__lte=now, redispatch_at=None)
    assert waiting.count() == 3
    assert (len(outbox), outbox.has_room) == (0, False)
    broker.fail = {}
    assert publish.publish_due(now + timedelta(seconds=10), outbox=outbox) == 3
    assert outbox.has_room  # the broker takes messages again


def test_a_beat_that_stops_leaves_what_it_has_opened_to_the_others(broker):
    now = database_now()
    publish.give_back(opened("a", "b", now=now))
    assert publish.publish_due(now) == 2


def test_what_a_killed_beat_had_opened_is_rung_when_its_message_counts_as_lost(broker, settings):
    settings.BEATKEEPER = {"redispatch_seconds": (30, 60)}
    now = database_now()
    opened("a", now=now)  # and the process is gone

    assert publish.publish_due(now + timedelta(seconds=29)) == 0
    assert publish.publish_due(now + timedelta(seconds=30)) == 1
    assert Run.objects.get().dispatches == 2


def test_a_run_that_was_claimed_meanwhile_is_not_sent_back(broker):
    now = database_now()
    outbox = opened("a", now=now)
    claimed(Run.objects.get())
    publish.give_back(outbox)
    assert Run.objects.get().state == "running"


def test_outstanding_messages_are_counted_once_a_second(broker, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(outbox_module, "COUNT_SECONDS", 3600.0)  # a slow machine takes longer than a second
    now = database_now()
    outbox = Outbox(10)
    publish.publish_due(now, outbox=outbox)
    with django_assert_max_num_queries(2):  # what is pending, and what is overdue
        publish.publish_due(now, outbox=outbox)
