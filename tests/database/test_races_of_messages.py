"""Races on the way from a run to its message (T2, T2e): beats that die, a broker that fails, a quick worker.

The head of `test_races` lists them all.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial

import pytest
from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from schedules import conf, dispatch, events, execute, operate, publish
from schedules.errors import NotPossible
from schedules.messages.outbox import Outbox
from schedules.models import Attempt, Run
from schedules.querysets import Heard, RunQuerySet, Sent, database_now
from schedules.rules.states import Outcome, State
from tests.database.racing import PATIENCE, Killed, Order, Pause, Racer, meet
from tests.factories import claimed, due, make_run, make_schedule, make_worker

pytestmark = pytest.mark.django_db(transaction=True)

in_every_order = pytest.mark.parametrize("order", Order)


@pytest.fixture
def sent(monkeypatch):
    """Run ids of messages instead of a broker."""
    ids: list[int] = []
    send = lambda producer, name, message, **_: ids.append(message.body[0][0])  # noqa: E731
    monkeypatch.setattr(current_app.amqp, "send_task_message", send)
    return ids


def taken():
    """T2 of what is due within a second, committed."""
    soon = database_now() + timedelta(seconds=1)
    with transaction.atomic():
        return Run.objects.take_for_publishing(soon, limit=10, full=(), delays=(30, 60))


def overdue(run: Run) -> None:
    """Its message counts as lost."""
    Run.objects.filter(pk=run.pk).update(redispatch_at=database_now())


def after_redispatch():
    return database_now() + timedelta(seconds=conf.current().redispatch_seconds[0] + 1)


def die(*_):
    raise Killed


def opened(now) -> Outbox:
    """What is due, opened as queued by a beat that has not rung yet."""
    outbox = Outbox(100)
    outbox.open()
    dispatch.dispatch_due(now, outbox=outbox)
    return outbox


@contextmanager
def broker_away(monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("gone")

    with monkeypatch.context() as patched, suppress(OperationalError):
        patched.setattr(current_app.amqp, "send_task_message", refuse)
        yield


def test_two_publishers_send_each_message_once(monkeypatch, sent):
    for number in range(4):
        make_run(make_schedule(f"job {number}"))
    pause = Pause(RunQuerySet.take_for_publishing)
    monkeypatch.setattr(RunQuerySet, "take_for_publishing", pause)
    now = database_now()

    first = Racer(lambda: publish.publish_due(now))
    assert pause.reached.wait(PATIENCE)
    second = Racer(lambda: publish.publish_due(now))
    pause.go.set()
    assert first.result + second.result == 4
    assert sorted(sent) == sorted(Run.objects.values_list("pk", flat=True))
    assert set(Run.objects.values_list("dispatches", flat=True)) == {1}


def test_runs_that_another_publisher_holds_are_passed_by(monkeypatch):
    make_run(make_schedule())
    pause = Pause(RunQuerySet.take_for_publishing)
    monkeypatch.setattr(RunQuerySet, "take_for_publishing", pause)

    first = Racer(taken)
    assert pause.reached.wait(PATIENCE)  # in its transaction
    second = Racer(taken)
    if connection.vendor == "postgresql":  # elsewhere the second waits for the first to commit
        assert second.result == []
    pause.go.set()

    assert len(first.result) == 1
    assert second.result == []
    assert Run.objects.get().dispatches == 1


def test_what_a_dead_beat_had_decided_is_sent_by_another(sent, now, minute):
    due(make_schedule(), minute)
    dispatch.dispatch_due(now)
    # It died here: nobody but the table knows of the run.
    assert publish.publish_due(now) == 1
    assert sent == [Run.objects.get().pk]


def test_a_beat_that_dies_before_the_message_leaves_it_to_redispatch(monkeypatch, sent):
    run = make_run(make_schedule())
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(events, "before_publish", die)
        publish.publish_due(database_now())
    run.refresh_from_db()
    assert (run.state, run.dispatches, sent) == (State.QUEUED, 1, [])

    assert publish.publish_due(database_now()) == 0  # for all anybody knows it is on its way
    assert publish.publish_due(after_redispatch()) == 1
    assert sent == [run.pk]


def test_a_beat_that_dies_after_the_message_has_sent_it(monkeypatch, sent):
    run = make_run(make_schedule())
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(events, "published", die)
        publish.publish_due(database_now())

    claimed(run)
    assert publish.publish_due(after_redispatch()) == 0
    assert sent == [run.pk]


def test_a_message_goes_out_only_when_its_mark_is_committed(monkeypatch):
    run = make_run(make_schedule())
    seen = []

    def send(*_, **__):
        seen.append(Racer(lambda: Run.objects.get(pk=run.pk).state).result)

    monkeypatch.setattr(current_app.amqp, "send_task_message", send)
    publish.publish_due(database_now())
    assert seen == [State.QUEUED]  # as another connection sees it


def test_a_message_out_before_the_broker_failed_starts_its_run_once(monkeypatch, sent):
    runs = [make_run(make_schedule(str(number))) for number in range(2)]

    def send(producer, name, message, **_):
        if sent:
            raise OperationalError("gone")
        sent.append(message.body[0][0])

    with monkeypatch.context() as patched, suppress(OperationalError):
        patched.setattr(current_app.amqp, "send_task_message", send)
        publish.publish_due(database_now())

    assert set(Run.objects.values_list("state", "attempt")) == {(State.PENDING, 0)}  # all were given back
    claimed(runs[0])
    assert sent == [runs[0].pk]
    assert execute.claim(sent[0], make_worker()) is None  # the second message
    assert Attempt.objects.count() == 1


def test_a_message_that_came_through_after_all_is_not_taken_back():
    run = make_run(make_schedule())
    bells = taken()
    claimed(run)  # the worker was quicker than the error

    assert Run.objects.unpublish(bells, available_at=database_now()) == 0
    run.refresh_from_db()
    assert run.state == State.RUNNING


def test_a_later_dispatch_is_not_taken_back_by_an_earlier_failure():
    run = make_run(make_schedule())
    early = taken()
    overdue(run)
    taken()

    assert Run.objects.unpublish(early, available_at=database_now()) == 0
    run.refresh_from_db()
    assert (run.state, run.dispatches) == (State.QUEUED, 2)


@in_every_order
def test_giving_back_against_a_claim_leaves_one_truth(order):
    run, worker = make_run(make_schedule()), make_worker()
    bells, later = taken(), database_now() + timedelta(seconds=60)

    returned, claim = meet(
        order,
        lambda: Run.objects.unpublish(bells, available_at=later),
        lambda: execute.claim(run.pk, worker),
    )

    run.refresh_from_db()
    assert (returned, claim is None) == ((1, True) if order.first_wins else (0, False))
    assert run.state == (State.PENDING if order.first_wins else State.RUNNING)
    assert run.attempts.count() == (0 if order.first_wins else 1)


@in_every_order
def test_giving_back_against_cancel_never_revives_a_run(order):
    run = make_run(make_schedule())
    bells = taken()

    meet(
        order,
        lambda: Run.objects.unpublish(bells, available_at=database_now()),
        lambda: operate.cancel(Run.objects.get(pk=run.pk), by="me"),
    )

    run.refresh_from_db()
    assert run.state == State.CANCELLED


@in_every_order
def test_redispatch_against_a_claim_never_queues_what_executes(order):
    run, worker = make_run(make_schedule()), make_worker()
    taken()
    overdue(run)

    bells, claim = meet(order, taken, lambda: execute.claim(run.pk, worker))

    assert claim is not None  # a second message is harmless, and no reason not to start
    assert len(bells) == (1 if order.first_wins else 0)
    run.refresh_from_db()
    assert (run.state, run.token) == (State.RUNNING, claim.attempt.token)
    assert taken() == []


@in_every_order
def test_redispatch_against_cancel_rings_for_nothing_that_is_over(order):
    run = make_run(make_schedule())
    taken()
    overdue(run)

    bells, _ = meet(order, taken, lambda: operate.cancel(Run.objects.get(pk=run.pk), by="me"))

    assert len(bells) == (1 if order.first_wins else 0)
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert execute.claim(run.pk, make_worker()) is None


@in_every_order
def test_two_beats_that_ring_at_once_leave_each_run_to_one_of_them(order, now, minute):
    due(make_schedule(), minute)

    outboxes = meet(order, lambda: opened(now), lambda: opened(now))

    assert sorted(len(outbox) for outbox in outboxes) == [0, 1]
    run = Run.objects.get()
    assert (run.state, run.dispatches) == (State.QUEUED, 1)


def test_a_bell_is_left_for_the_publisher_only_when_its_run_is_committed(monkeypatch, now, minute):
    due(make_schedule(), minute)
    seen = []
    put = Outbox.put

    def look_first(outbox, bells):
        seen.extend(Racer(lambda bell=bell: Run.objects.get(pk=bell.run_id).state).result for bell in bells)
        put(outbox, bells)

    monkeypatch.setattr(Outbox, "put", look_first)
    opened(now)
    assert seen == [State.QUEUED]  # as another connection sees it


def test_a_beat_that_dies_with_bells_unrung_leaves_them_to_redispatch(sent, now, minute):
    due(make_schedule(), minute)
    opened(now)  # and gone with its process

    assert publish.publish_due(now) == 0
    assert publish.publish_due(now + timedelta(seconds=conf.current().redispatch_seconds[0])) == 1
    assert sent == [Run.objects.get().pk]


def test_bells_that_a_broker_refused_wait_in_the_table_again(monkeypatch, now, minute):
    for number in range(3):
        due(make_schedule(f"job {number}"), minute)
    outbox = opened(now)
    with broker_away(monkeypatch):
        publish.publish_opened(outbox, limit=1)

    assert len(outbox) == 0
    assert not outbox.has_room  # until the broker takes one
    assert set(Run.objects.values_list("state", "redispatch_at")) == {(State.PENDING, None)}


def test_a_bell_unrung_for_long_takes_back_nothing_that_another_beat_rang(monkeypatch, sent, now, minute):
    """SIGSTOP between the commit and the message: the other beats count the message as lost."""
    due(make_schedule(), minute)
    stopped = opened(now)
    publish.publish_due(now + timedelta(seconds=conf.current().redispatch_seconds[0]))
    with broker_away(monkeypatch):
        publish.publish_opened(stopped)

    run = Run.objects.get()
    assert (run.state, run.dispatches, sent) == (State.QUEUED, 2, [run.pk])


def test_a_run_that_is_cancelled_before_its_bell_rings_starts_nothing(monkeypatch, sent, now, minute):
    due(make_schedule(), minute)
    outbox = opened(now)
    run = Run.objects.get()
    operate.cancel(run, by="me")
    bells = outbox.take(1)
    outbox.put(bells)
    with broker_away(monkeypatch):
        publish.publish_opened(outbox)
    outbox.put(bells)
    publish.publish_opened(outbox)

    assert execute.claim(run.pk, make_worker()) is None
    run.refresh_from_db()
    assert (run.state, run.attempt) == (State.CANCELLED, 0)


def test_what_a_full_queue_cannot_take_is_opened_as_pending(settings, now, minute):
    settings.BEATKEEPER = {**settings.BEATKEEPER, "doorbells": 1}
    due(make_schedule("first"), minute)
    outbox = opened(now)
    due(make_schedule("second"), minute)
    dispatch.dispatch_due(now, outbox=outbox)

    assert dict(Run.objects.values_list("name", "state")) == {"first": "queued", "second": "pending"}
    assert len(outbox) == 1


@pytest.fixture
def elsewhere():
    """A run whose message has gone to the workers of another codebase, and what is to be recorded of it."""
    run = make_run(make_schedule())
    taken()
    return Sent(run.pk, uuid.uuid4(), "Sent.")


@in_every_order
def test_two_beats_that_sent_one_message_record_it_once(order, elsewhere):
    found = meet(order, lambda: Run.objects.sent([elsewhere]), lambda: Run.objects.sent([elsewhere]))

    assert [bool(moved) for moved in found] == ([True, False] if order.first_wins else [False, True])
    assert Attempt.objects.get().outcome == "sent"
    assert Run.objects.get().state == State.SENT


@in_every_order
def test_the_record_of_a_message_against_cancel_leaves_one_truth(order, elsewhere):
    def cancel():
        with suppress(NotPossible):
            return operate.cancel(Run.objects.get(), by="me")

    meet(order, lambda: Run.objects.sent([elsewhere]), cancel)

    assert Run.objects.get().state == (State.SENT if order.first_wins else State.CANCELLED)
    assert Attempt.objects.count() == (1 if order.first_wins else 0)


@in_every_order
def test_two_beats_that_hear_of_one_end_record_one(order, elsewhere):
    Run.objects.sent([elsewhere])
    ends = [Heard(State.SUCCEEDED, Outcome.SUCCEEDED, "a"), Heard(State.FAILED, Outcome.FAILED, "b")]

    won = meet(
        order, *[partial(Run.objects.hear_end, elsewhere.run_id, elsewhere.token, end) for end in ends]
    )

    assert won == ((True, False) if order.first_wins else (False, True))
    attempt, run = Attempt.objects.get(), Run.objects.get()
    expected = ("succeeded", "a") if order.first_wins else ("failed", "b")
    assert (attempt.outcome, attempt.worker_name) == expected
    assert run.state == attempt.outcome
