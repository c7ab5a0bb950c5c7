"""What one odd message, or one full queue, does to everybody else's on a real RabbitMQ: nothing."""

from __future__ import annotations

import gc
import json
import os
import socket
from contextlib import contextmanager, suppress

import pytest
from celery import current_app
from kombu import Connection, Exchange, Producer, Queue

from schedules import publish
from schedules.messages import lines
from schedules.messages.envelope import Route
from schedules.messages.lines import Ring
from schedules.models import Run
from schedules.querysets import database_now
from tests.factories import make_run, make_schedule, make_task_schedule
from tests.worker.test_doorbells import received, send

ODD_HEADERS = {
    "a number beyond 64 bits": '{"n": 100000000000000000000}',
    "a name beyond 255 bytes": json.dumps({"k" * 300: 1}),
    "an infinity": '{"a": [1, {"n": 1e400}]}',
}
FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}


@pytest.fixture
def published(rabbitmq_url, monkeypatch):
    """The connection that `publish` uses, with empty queues."""
    with Connection(rabbitmq_url, transport_options={"confirm_publish": True}) as connection:
        for name in ("commands", "tasks", "shop"):
            connection.default_channel.queue_delete(name)
            Queue(name, routing_key=name)(connection.default_channel).declare()

        @contextmanager
        def producer(*_):
            yield Producer(connection)

        monkeypatch.setattr(current_app._get_current_object(), "producer_or_acquire", producer)
        yield connection
        for name in ("commands", "tasks", "shop"):
            connection.default_channel.queue_delete(name)


@pytest.mark.django_db
@pytest.mark.parametrize("headers", ODD_HEADERS.values(), ids=ODD_HEADERS)
@pytest.mark.parametrize("how", [{}, {"delivery": "message", "queue": "shop"}], ids=["run", "message"])
def test_a_schedule_with_odd_headers_stops_nobody_elses_message(published, headers, how):
    make_run(make_task_schedule("bad", task="x.y", headers=headers, **how))
    make_run(make_task_schedule("good", task="x.y", headers='{"colour": "blue"}', **how))
    make_run(make_schedule("plain"))

    publish.publish_due(database_now())

    states = dict(Run.objects.values_list("name", "state"))
    assert states == {"bad": "pending", "good": "sent" if how else "queued", "plain": "queued"}


@pytest.mark.django_db
def test_a_queue_name_beyond_255_bytes_stops_nobody(published):
    make_run(make_task_schedule("bad", task="x.y", delivery="message", queue="é" * 190))
    make_run(make_task_schedule("good", task="x.y", delivery="message", queue="shop"))

    publish.publish_due(database_now())

    assert dict(Run.objects.values_list("name", "state")) == {"bad": "pending", "good": "sent"}


@pytest.mark.django_db
def test_a_full_queue_does_not_keep_another_queue_waiting(published):
    published.default_channel.queue_delete("commands")
    Queue("commands", routing_key="commands", queue_arguments=FULL)(published.default_channel).declare()
    published.declared_entities.add("queue commands")  # it is there, in another form than ours
    full = make_schedule("full")
    for _ in range(6):
        make_run(full)
    make_run(make_task_schedule("other", task="x.y"))

    for _ in range(4):  # a beat's next steps
        publish.publish_due(database_now(), limit=3)

    assert len(received(published, "tasks")) == 1


def test_batches_that_fail_leave_no_channels_and_no_sockets(rabbitmq_url):
    counts = []
    with Connection(rabbitmq_url) as connection:
        for _ in range(4):
            channel = connection.default_channel
            Queue("commands")(channel).declare()
            send(connection, Ring(Route("commands"), 1, "a"))
            connection.connection.transport.sock.shutdown(socket.SHUT_RDWR)  # the broker is restarted
            with suppress(Exception):
                lines.line(channel).length(channel, "commands")
            lines.forget(channel)
            del channel
            gc.collect()
            counts.append((len(lines._lines), len(os.listdir("/proc/self/fd"))))
        Queue("commands")(connection.default_channel).delete()
    assert counts[1] == counts[-1], counts


@pytest.mark.django_db
def test_a_queue_of_a_topic_exchange_is_no_trouble_of_the_lines(published, monkeypatch, caplog):
    queue = Queue("events", Exchange("topics2", type="topic"), routing_key="a.b")
    monkeypatch.setitem(current_app.amqp.queues, "events", queue)
    queue(published.default_channel).declare()
    run = make_run(make_task_schedule("topical", task="x.y"))
    Run.objects.filter(pk=run.pk).update(queue="events")

    publish.publish_due(database_now())

    published.default_channel.queue_delete("events")
    assert "part_failed" not in caplog.text
