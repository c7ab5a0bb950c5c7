"""RabbitMQ itself: what is declared there, what is refused, and what a look at it says and leaves alone."""

from __future__ import annotations

import uuid

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from celery import current_app
from kombu import Connection, Exchange, Queue

from scheduler import topology
from schedules.production import broker
from schedules.production.broker import Fleet
from schedules.rules.production import Level
from tests.system.cluster import wait_for


@pytest.fixture
def link(rabbitmq_url):
    with Connection(rabbitmq_url) as link:
        yield link


@pytest.fixture
def queue(link, rabbitmq_url):
    """A queue of this test's own, as an installation would declare it; nothing is there yet."""
    name = f"reports-{uuid.uuid4()}"
    wanted = topology.read([f"{name}:{name}.#"], always=())
    [queue] = topology.queues(wanted, broker_url=rabbitmq_url, default="tasks", topic_exchange="topics")
    yield queue
    with link.channel() as channel:
        channel.queue_delete(name)


@pytest.fixture
def looked_at(queue, rabbitmq_url, monkeypatch):
    """What the check says of a broker with that one queue, by code."""
    before = current_app.amqp.queues
    monkeypatch.setitem(current_app.conf, "broker_url", rabbitmq_url)
    monkeypatch.setitem(current_app.conf, "broker_transport", None)
    monkeypatch.setitem(current_app.conf, "broker_transport_options", {"confirm_publish": True})
    current_app.amqp.queues = [queue]
    yield lambda: {each.code: each for each in broker.look(Fleet())}
    current_app.amqp.queues = before


def size(link, queue):
    with link.channel() as channel:
        return queue.bind(channel).queue_declare(passive=True).message_count


def test_a_queue_with_other_arguments_is_refused_with_what_to_do(link, queue):
    with link.channel() as channel:
        Queue(queue.name).bind(channel).queue_declare()
    with pytest.raises(PreconditionFailed) as refusal:
        queue.bind(link.channel()).declare()
    said = str(refusal.value)
    assert f'has the queue "{queue.name}" with other arguments' in said
    assert f"rabbitmqctl delete_queue -p {link.virtual_host} {queue.name}" in said


def test_a_key_reaches_the_queue_and_another_key_does_not(link, queue):
    queue.bind(link.channel()).declare()
    producer = link.Producer(link.channel())
    topics = Exchange("topics", type="topic")
    for key in ("somewhere.else", f"{queue.name}.daily.eu", queue.name):
        producer.publish([key], exchange=topics, routing_key=key)
    wait_for(lambda: size(link, queue) >= 2, "the messages are there")
    with link.channel() as channel:
        found = [queue.bind(channel).get(no_ack=True) for _ in range(3)]
    assert [message.payload if message else None for message in found] == [
        [f"{queue.name}.daily.eu"],
        [queue.name],
        None,
    ]


def test_looking_at_a_queue_that_is_not_there_does_not_make_it(link, queue, looked_at):
    found = looked_at()
    assert (found["broker.missing"].level, queue.name in found["broker.missing"].what) == (
        Level.WARNING,
        True,
    )
    with pytest.raises(NotFound):
        size(link, queue)


def test_a_queue_as_it_was_declared_is_in_order(link, queue, looked_at):
    queue.bind(link.channel()).declare()
    found = looked_at()
    assert f"{queue.name} (0 waiting, 0 readers)" in found["broker.queues"].what
    assert not {"broker.queue", "broker.missing", "broker.confirms"} & found.keys()


def test_a_queue_of_another_kind_is_an_error_that_says_what_differs(link, queue, looked_at):
    with link.channel() as channel:
        Queue(queue.name).bind(channel).queue_declare()
    found = looked_at()["broker.queue"]
    assert found.level == Level.ERROR
    assert "x-queue-type" in found.what
    assert "delete_queue" in found.do
