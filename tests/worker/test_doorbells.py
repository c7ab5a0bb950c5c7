"""Doorbells sent many at a time are the messages that Celery and kombu send one by one, on real brokers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import redis
from amqp.exceptions import RecoverableConnectionError
from celery import Celery, current_app, signals
from celery.contrib.testing.worker import start_worker
from django_celery_beat.models import PeriodicTask
from kombu import Connection, Producer, Queue

from schedules import publish, reconcile, tasks
from schedules.messages import envelope, lines
from schedules.messages import outbox as outbox_module
from schedules.messages.envelope import Route
from schedules.messages.lines import Ring
from schedules.messages.outbox import Outbox
from schedules.models import Run
from schedules.querysets import database_now
from tests.factories import make_run, make_schedule, make_task_schedule

NAMES = ["job", 'with "quotes", 100 % and \\', "grüezi ☕", "x" * 200]
ROUTES = [
    Route("commands"),
    Route("tasks", is_task=True),
    Route("tasks", priority=6, time_limit=75.0, is_task=True),
]


@pytest.fixture(params=["redis", "rabbitmq"])
def url(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def connection(url):
    with Connection(url) as connection:
        for name in ("commands", "tasks"):
            queue = Queue(name, routing_key=name)(connection.default_channel)
            queue.declare()
            queue.purge()
        yield connection


def send(connection, *rings):
    channel = connection.default_channel
    line = lines.line(channel)
    assert line is not None
    return line.send(channel, rings)


def received(connection, queue):
    """Every message of the queue: body as sent, headers, properties."""
    channel = connection.default_channel
    found = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        properties = {key: value for key, value in message.properties.items() if key != "application_headers"}
        sort = message.content_type, message.content_encoding
        found.append(SimpleNamespace(body=message.body, headers=message.headers, rest=(properties, *sort)))
    return found


def without_ids(value, *ids):
    text = json.dumps(value, sort_keys=True, default=str)
    for each in ids:
        text = text.replace(each, "ID")
    return text


@pytest.mark.parametrize("name", NAMES, ids=["plain", "quoted", "not ascii", "long"])
@pytest.mark.parametrize("route", ROUTES, ids=["command", "task", "task with hints"])
def test_a_doorbell_equals_the_message_that_celery_sends(connection, route, name):
    envelope.send(
        Producer(connection),
        run_id=42,
        name=name,
        message_id=envelope.new_id(),
        declare=[],
        **route.options,
        **route.headers_for(name),
    )
    send(connection, Ring(route, 42, name))

    theirs, ours = received(connection, route.queue)

    texts = []
    for each in (theirs, ours):
        tag = each.rest[0].get("delivery_tag", "none")
        assert each.headers["id"] == each.headers["root_id"] == each.rest[0]["correlation_id"]
        texts.append(without_ids([str(each.body), each.headers, each.rest], each.headers["id"], tag))
    assert texts[0] == texts[1]


def test_doorbells_stay_in_order_and_have_ids_of_their_own(connection):
    send(connection, *(Ring(Route("commands"), number, f"job {number}") for number in range(1200)))

    found = received(connection, "commands")

    assert [message.headers["argsrepr"] for message in found] == [f"({number},)" for number in range(1200)]
    assert len({message.headers["id"] for message in found}) == 1200


@pytest.fixture
def not_our_worker():
    """Celery's signals are the whole process's: a worker in it would begin ours, with its heartbeat."""
    signals.worker_process_init.disconnect(tasks.start_child)
    yield
    signals.worker_process_init.connect(tasks.start_child)


def test_a_stock_worker_executes_them(url, connection, not_our_worker):
    """Another application, without Django and with Celery's own transport."""
    app = Celery("elsewhere", broker=url)
    app.conf.update(task_default_queue="commands", worker_hijack_root_logger=False)
    seen = []

    @app.task(bind=True, name=envelope.RUN_ATTEMPT, ignore_result=True, shared=False, lazy=False)
    def note(self, run_id):
        seen.append((run_id, self.request.shadow, self.request.timelimit, self.request.id))

    rings = [Ring(Route("commands", time_limit=80.0), number, f"job {number}") for number in range(40)]
    send(connection, *rings)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        _until(lambda: len(seen) >= 40, seconds=120)

    assert sorted(run_id for run_id, *_ in seen) == list(range(40))
    assert {(shadow, tuple(limit)) for _, shadow, limit, _ in seen if shadow == "job 7"} == {
        ("job 7", (80.0, None))
    }
    assert len({message_id for *_, message_id in seen}) == 40


def test_key_prefix_and_priority_of_redis_are_honoured(redis_url):
    options = {"global_keyprefix": "mine:", "priority_steps": [0, 3, 6, 9]}
    server = redis.Redis.from_url(redis_url)
    with Connection(redis_url, transport_options=options) as connection:
        send(connection, Ring(Route("commands", priority=6), 1, "a"), Ring(Route("commands"), 2, "b"))
        keys = {key.decode() for key in server.keys("mine:*") if b"_kombu" not in key}
        assert keys == {"mine:commands", "mine:commands\x06\x166"}
        assert [m.headers["argsrepr"] for m in received(connection, "commands")] == ["(2,)", "(1,)"]
    for key in server.keys("mine:*"):
        server.delete(key)


def test_a_queue_that_is_gone_sends_its_messages_back(rabbitmq_url):
    with Connection(rabbitmq_url) as connection:
        Queue("commands")(connection.default_channel).declare()
        send(connection, Ring(Route("commands"), 1, "a"))
        connection.default_channel.queue_delete("commands")

        returned = send(connection, Ring(Route("commands"), 2, "b"), Ring(Route("commands"), 3, "c"))

        assert sorted(returned) == [2, 3]
        assert '"commands"' in str(returned[2])


@pytest.fixture
def amqp_line(rabbitmq_url):
    with Connection(rabbitmq_url) as connection:
        channel = connection.default_channel
        Queue("commands")(channel).declare()
        yield connection, channel, lines.line(channel)


def test_a_broker_that_confirms_nothing_counts_as_away(amqp_line, monkeypatch):
    connection, _, line = amqp_line
    monkeypatch.setattr(lines, "CONFIRM_SECONDS", 0.05)
    line._confirmed.events["basic_ack"].clear()  # as if none came

    with pytest.raises(RecoverableConnectionError, match="confirmed nothing"):
        send(connection, Ring(Route("commands"), 1, "a"))


def test_messages_that_the_broker_refuses_come_back_each_by_itself(amqp_line):
    connection, channel, _ = amqp_line
    Queue("commands")(channel).delete()
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    Queue("commands", queue_arguments=full)(channel).declare()

    refused = send(connection, *(Ring(Route("commands"), number, "a") for number in range(5)))

    assert set(refused) == {1, 2, 3, 4}
    channel.queue_delete("commands")


def test_a_transport_without_a_line_has_none():
    with Connection("memory://") as connection:
        assert lines.line(connection.default_channel) is None


def test_a_redis_transport_that_changes_messages_has_no_line(redis_url):
    with Connection(redis_url) as connection:
        channel = connection.default_channel
        changed = type("Channel", (type(channel),), {"_put": lambda self, *args, **kwargs: None})
        channel.__class__ = changed
        assert lines.line(channel) is None


@pytest.mark.parametrize("signal", ["before_task_publish", "after_task_publish"])
def test_who_listens_to_each_message_gets_each_from_celery(signal):
    def listener(**_):
        pass

    assert envelope.is_stock()
    getattr(signals, signal).connect(listener)
    try:
        assert not envelope.is_stock()
    finally:
        getattr(signals, signal).disconnect(listener)


@pytest.fixture
def published(connection, monkeypatch):
    """Beat's connection, to the broker under test."""

    @contextmanager
    def producer(*_):
        yield Producer(connection)

    app = current_app._get_current_object()
    monkeypatch.setattr(app, "producer_or_acquire", producer)
    return connection


@pytest.mark.django_db
def test_commands_and_tasks_are_published_in_one_go(published):
    schedules = [make_schedule("a"), make_task_schedule("b", task="x.y", priority=3, timeout=10)]
    special = make_task_schedule("c", task="x.y", headers='{"colour": "blue"}')
    runs = [make_run(schedule) for schedule in [*schedules, special]]

    assert publish.publish_due(database_now()) == 3

    [command] = received(published, "commands")
    tasks = {message.headers["shadow"]: message for message in received(published, "tasks")}
    assert command.headers["argsrepr"] == f"({runs[0].pk},)"
    assert (tasks["b"].rest[0]["priority"], tasks["b"].headers["timelimit"]) == (3, [25, None])
    assert tasks["c"].headers["colour"] == "blue"
    assert set(Run.objects.values_list("state", flat=True)) == {"queued"}


@pytest.mark.django_db
def test_a_message_that_is_lost_behind_those_of_other_applications_is_sent_again(published, monkeypatch):
    """The length of a shared queue says nothing of ours, so a few are rung again each minute all the same."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(outbox_module, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    outbox = Outbox(0)
    make_run(make_schedule("ours"))
    now = database_now()
    assert publish.publish_due(now, outbox=outbox) == 1
    Run.objects.update(redispatch_at=now)
    published.default_channel.basic_get("commands", no_ack=True)  # lost
    with Producer(published) as another:
        another.publish({}, routing_key="commands")

    sent = []
    for seconds in (2, 30, 29, 2, 30):
        clock.seconds += seconds
        sent.append(publish.publish_due(now, outbox=outbox))
        Run.objects.update(redispatch_at=now)

    assert sent == [0, 0, 0, 1, 0]


@pytest.mark.django_db
def test_a_priority_that_no_message_can_have_is_the_problem_of_its_run_alone(published):
    """A form refuses it; a row of django-celery-beat may have it all the same."""
    odd = make_task_schedule("odd", task="x.y")
    PeriodicTask.objects.filter(pk=odd.pk).update(priority=1000)
    reconcile.reconcile()
    make_run(odd), make_run(make_schedule("plain"))

    publish.publish_due(database_now())

    assert len(received(published, "commands")) == 1
    assert Run.objects.get(name="plain").state == "queued"


@pytest.mark.django_db
def test_a_backlog_is_no_loss_and_is_not_sent_again(published):
    """Overdue, and still in the queue; then two of three are lost."""
    for name in "abc":
        make_run(make_schedule(name))
    now = database_now()
    assert publish.publish_due(now) == 3
    Run.objects.update(redispatch_at=now)

    assert publish.publish_due(now) == 0

    for _ in range(2):
        published.default_channel.basic_get("commands", no_ack=True)
    assert publish.publish_due(now) == 2
    assert sorted(Run.objects.values_list("dispatches", flat=True)) == [1, 2, 2]


@pytest.mark.django_db
def test_a_queue_that_is_not_there_has_lost_all_its_messages(published, url):
    run = make_run(make_schedule("a"))
    now = database_now()
    publish.publish_due(now)
    Run.objects.update(redispatch_at=now)
    published.default_channel.queue_purge("commands")
    if url.startswith("amqp"):
        published.default_channel.queue_delete("commands")

    publish.publish_due(now)

    run.refresh_from_db()
    assert run.dispatches == 2


@pytest.mark.django_db
def test_a_message_of_kombu_that_cannot_be_cut_goes_the_long_way(published, monkeypatch):
    monkeypatch.setattr(envelope, "RUN_ID", "no number")
    make_run(make_schedule("a"))

    assert publish.publish_due(database_now()) == 1
    assert len(received(published, "commands")) == 1


def _until(condition, seconds=30):
    import time

    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition(), "it did not happen in time"
