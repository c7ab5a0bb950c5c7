"""Tasks for another codebase: sent as django-celery-beat sends them, on record, with one id each time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from amqp.exceptions import NotFound
from celery import current_app
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry
from kombu.exceptions import OperationalError

from schedules import dispatch, operate, publish
from schedules.errors import InvalidSchedule
from schedules.messages import sending
from schedules.messages.outbox import Outbox
from schedules.models import Attempt, Run, Schedule
from schedules.querysets import Doorbell, Sent, database_now
from tests.factories import due, last_minute, make_policy, make_run, make_task_schedule

pytestmark = pytest.mark.django_db


def make_message_schedule(name: str = "theirs", **columns) -> Schedule:
    given = {"task": "shop.report", "queue": "shop", "delivery": "message"}
    return make_task_schedule(name, **(given | columns))


@pytest.fixture
def broker(monkeypatch):
    """Remembers what would be published; what `fail` holds for a task's name is raised instead."""

    class Broker(list):
        fail: dict[str, Exception]

        def send(self, producer, name, message, **options):
            if name in self.fail:
                raise self.fail[name]
            self.append((name, message, options))

    broker = Broker()
    broker.fail = {}
    monkeypatch.setattr(current_app.amqp, "send_task_message", broker.send)
    return broker


def publish_now() -> int:
    return publish.publish_due(database_now())


def test_a_task_of_another_codebase_is_sent_under_its_own_name_and_recorded_as_sent(broker):
    schedule = make_message_schedule(args="[1, 2]", kwargs='{"a": "b"}', priority=3, headers='{"team": "x"}')
    run = make_run(schedule)

    assert publish_now() == 1

    [(name, message, options)] = broker
    assert (name, message.body[0], message.body[1]) == ("shop.report", [1, 2], {"a": "b"})
    assert (options["queue"].name, options["declare"], options["priority"]) == ("shop", [], 3)
    assert options["headers"] == {"team": "x", "periodic_task_name": "theirs", "celery_beat_task": True}
    run.refresh_from_db()
    attempt = run.attempts.get()
    assert (run.state, run.attempt, run.token, attempt.outcome) == ("sent", 1, None, "sent")
    assert (str(attempt.token), attempt.number) == (message.headers["id"], 1)
    assert run.detail == 'Sent to the queue "shop".'
    assert attempt.notes == f'Sent to the queue "shop" as Celery task {attempt.token}.'
    assert run.started_at == run.finished_at == attempt.started_at


def test_the_message_is_the_one_that_django_celery_beat_sends(broker):
    schedule = make_message_schedule(args="[1]", kwargs='{"a": 2}', priority=3, headers='{"team": "x"}')
    make_run(schedule)
    current_app.amqp.queues.pop("shop", None)
    publish_now()

    beat = DatabaseScheduler(app=current_app, lazy=True)
    entry = ModelEntry(PeriodicTask.objects.get(pk=schedule.pk), app=current_app)
    entry.options["queue"] = sending.Queue("shop", sending.Exchange("shop"), routing_key="shop")
    beat.apply_async(entry, advance=False)

    [(our_name, ours, our_options), (their_name, theirs, their_options)] = broker
    of_each = ("id", "root_id", "stamped_headers", "stamps")
    assert our_name == their_name
    assert list(ours.body[0]) == list(theirs.body[0])
    assert ours.body[1:] == theirs.body[1:]
    assert {k: v for k, v in ours.headers.items() if k not in of_each} == {
        k: v for k, v in theirs.headers.items() if k not in of_each
    }
    assert our_options["headers"] == their_options["headers"]
    assert our_options["queue"].name == their_options["queue"].name
    assert our_options["priority"] == their_options["priority"]


def test_the_id_of_the_task_follows_from_the_run_and_leads_back_to_it():
    schedule = make_message_schedule()
    first, second = make_run(schedule), make_run(schedule)

    identity = sending.task_id(first)

    assert identity == sending.task_id(Run.objects.get(pk=first.pk)) != sending.task_id(second)
    assert (identity.version, identity.variant) == (8, uuid.RFC_4122)
    assert sending.run_of(str(identity)) == (first.pk, identity)


@pytest.mark.parametrize("text", ["", "no uuid", None, 17, str(uuid.uuid4())])
def test_what_is_certainly_no_id_of_ours_is_told_at_once(text):
    assert sending.run_of(text) is None


def test_a_message_whose_record_was_lost_is_sent_again_under_the_same_id(broker, monkeypatch):
    run = make_run(make_message_schedule())
    with monkeypatch.context() as dying:
        dying.setattr(type(Run.objects.all()), "sent", lambda self, messages: exit(9))
        with pytest.raises(SystemExit):
            publish_now()
    run.refresh_from_db()
    assert run.state == "queued"

    publish.publish_due(run.redispatch_at + timedelta(seconds=1))

    run.refresh_from_db()
    assert (run.state, run.dispatches, run.attempts.count()) == ("sent", 2, 1)
    assert len({message.headers["id"] for _, message, _ in broker}) == 1
    assert len(broker) == 2


def test_what_went_out_before_the_broker_vanished_is_recorded_and_the_rest_waits(broker):
    first = make_run(make_message_schedule("first"))
    second = make_run(make_message_schedule("second", task="shop.other"))
    broker.fail["shop.other"] = OperationalError("gone")

    with pytest.raises(OperationalError):
        publish_now()

    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {first.pk: "sent", second.pk: "pending"}


@pytest.mark.parametrize("refusal", [NotFound("NOT_FOUND - no exchange 'nowhere'"), ValueError("no JSON")])
def test_a_message_that_is_refused_waits_with_the_reason_and_stops_no_other(broker, refusal):
    bad = make_run(make_message_schedule("bad", task="shop.bad"))
    good = make_run(make_message_schedule("good"))
    broker.fail["shop.bad"] = refusal

    assert publish_now() == 1

    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.state, good.state) == ("pending", "sent")
    assert str(refusal) in bad.detail
    assert bad.detail.startswith("Not sent, and tried again later: ")
    assert bad.available_at > database_now() + timedelta(seconds=60)


def test_a_queue_of_another_codebase_is_neither_made_nor_remembered():
    make_run(make_message_schedule(queue="nobody-has-this"))

    publish_now()

    assert "nobody-has-this" not in current_app.amqp.queues
    assert Run.objects.get().state == "sent"


def test_the_start_deadline_is_kept_and_told_to_the_worker(broker):
    in_time = make_run(make_message_schedule("in time", expire_seconds=60))
    late = make_run(make_message_schedule("late", expire_seconds=60))
    Run.objects.filter(pk=late.pk).update(scheduled_for=database_now() - timedelta(seconds=61))

    publish_now()

    states = dict(Run.objects.values_list("pk", "state"))
    assert states == {in_time.pk: "sent", late.pk: "skipped"}
    assert Run.objects.get(pk=late.pk).reason == "too_late"
    [(_, message, options)] = broker
    assert datetime.fromisoformat(message.headers["expires"]) == in_time.scheduled_for + timedelta(seconds=60)
    assert 0 < options["expiration"] <= 60


def test_the_end_of_a_schedule_is_the_expiry_of_its_messages(broker):
    end = datetime(2030, 1, 1, tzinfo=UTC)
    make_run(make_message_schedule(expires=end))

    publish_now()

    [(_, message, _)] = broker
    assert datetime.fromisoformat(message.headers["expires"]) == end


def test_a_run_that_was_cancelled_while_its_message_went_out_stays_cancelled(broker):
    run = make_run(make_message_schedule())
    [bell] = Run.objects.take_for_publishing(database_now(), limit=1, full=(), delays=(30, 60))
    operate.cancel(run, by="me")

    assert Run.objects.sent([Sent(run.pk, uuid.uuid4(), "the queue")]) == set()

    assert isinstance(bell, Doorbell)
    assert not Attempt.objects.exists()


@pytest.fixture
def opened():
    """An outbox with the runs of two schedules that are due: bells that wait to be rung."""
    for name in ("one", "two"):
        due(make_message_schedule(name), last_minute())
    outbox = Outbox(10)
    outbox.open()
    dispatch.dispatch_due(last_minute() + timedelta(seconds=1), outbox=outbox)
    assert len(outbox) == 2
    return outbox


def overdue() -> datetime:
    waiting = Run.objects.exclude(redispatch_at=None).latest("redispatch_at")
    assert waiting.redispatch_at is not None
    return waiting.redispatch_at + timedelta(seconds=1)


def test_a_message_that_another_beat_has_sent_meanwhile_is_not_sent_again(broker, opened):
    """This beat hung in its broker for longer than a doorbell may take."""
    assert publish.publish_due(overdue()) == 2

    publish.publish_opened(opened)

    assert len(broker) == 2
    assert Attempt.objects.count() == 2


def test_a_beat_whose_first_messages_took_long_does_not_send_the_rest_twice(broker, opened):
    publish.publish_opened(opened, limit=1)
    publish.publish_due(overdue(), outbox=opened)
    publish.publish_opened(opened)

    assert len(broker) == 2


def test_a_run_that_is_cancelled_before_its_message_goes_out_is_not_sent(broker, opened):
    run = Run.objects.get(name="one")
    operate.cancel(run, by="me")

    publish.publish_opened(opened)

    assert len(broker) == 1
    run.refresh_from_db()
    assert run.state == "cancelled"


def test_runs_are_read_anew_while_the_broker_is_slow(broker, opened, monkeypatch):
    """The second is cancelled while the first goes out."""
    monkeypatch.setattr(sending, "LOOK_SECONDS", -1)
    sends = current_app.amqp.send_task_message

    def slowly(*args, **options):
        sends(*args, **options)
        for run in Run.objects.filter(state="queued", name="two"):
            operate.cancel(run, by="me")

    monkeypatch.setattr(current_app.amqp, "send_task_message", slowly)
    publish.publish_opened(opened)

    assert len(broker) == 1


def test_a_run_that_was_sent_may_be_sent_again_by_hand(broker):
    run = make_run(make_message_schedule())
    publish_now()
    run.refresh_from_db()

    again = operate.run_again(run, by="me")
    publish_now()

    assert Run.objects.get(pk=again.pk).state == "sent"
    assert len({message.headers["id"] for _, message, _ in broker}) == 2


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"timeout": 60}, "time_limit"),
        ({"overlap": "skip"}, "knows how long it runs"),
        ({"on_worker_lost": "retry"}, "acks_late"),
        ({"queue": None, "exchange": "shop"}, "routing key"),
        ({"kind": "command", "command": "true"}, "Only a Celery task"),
    ],
)
def test_a_policy_that_only_our_workers_can_keep_is_refused(columns, complaint):
    with pytest.raises(InvalidSchedule, match=complaint):
        make_message_schedule(**columns)


def test_retries_are_refused_because_the_message_is_sent_once():
    with pytest.raises(InvalidSchedule, match="autoretry_for"):
        make_message_schedule(retry_policy=make_policy())


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [({"queue": "tasks"}, "Beatkeeper's own workers"), ({"queue": None}, "Say where")],
)
def test_a_message_must_not_go_to_our_own_workers(columns, complaint):
    with pytest.raises(InvalidSchedule, match=complaint):
        make_message_schedule(**columns)
