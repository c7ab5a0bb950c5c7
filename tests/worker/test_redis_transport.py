"""What our Redis transport does with doorbells, and leaves as it is for every other message."""

from __future__ import annotations

import pytest
import redis
from kombu import Connection, Consumer, Producer, Queue

from scheduler.redis import DOORBELL
from schedules import publish

QUEUE = Queue("commands", routing_key="commands")
UNACKED = "unacked"


@pytest.fixture
def server(redis_url):
    server = redis.Redis.from_url(redis_url)
    yield server
    server.delete("commands", UNACKED, "unacked_index", "_kombu.binding.commands", "unacked_mutex")
    server.close()


@pytest.fixture
def broker(redis_url, server):
    with Connection(redis_url, transport="scheduler.redis:Transport") as connection:
        yield connection


def sent(broker, task):
    Producer(broker).publish([], exchange="", routing_key="commands", headers={"task": task}, declare=[QUEUE])


def taken(broker, prefetch=0):
    """A consumer's channel, and the messages that it has taken and not acknowledged."""
    messages = []
    channel = broker.channel()
    consumer = Consumer(channel, [QUEUE], on_message=messages.append, prefetch_count=prefetch or None)
    consumer.consume()
    broker.drain_events(timeout=5)
    return channel, messages


def test_the_transport_knows_a_doorbell_by_the_name_that_beat_sends():
    assert DOORBELL == publish.RUN_ATTEMPT


def test_a_doorbell_leaves_no_second_copy(broker, server):
    sent(broker, DOORBELL)
    _, [message] = taken(broker)
    assert server.hlen(UNACKED) == 0
    message.ack()
    assert server.llen("commands") == 0


def test_another_task_is_kept_until_it_is_acknowledged(broker, server):
    sent(broker, "reports.daily")
    _, [message] = taken(broker)
    assert server.hlen(UNACKED) == 1
    message.ack()
    assert server.hlen(UNACKED) == 0


@pytest.mark.parametrize("task", [DOORBELL, "reports.daily"])
def test_what_was_taken_and_not_begun_goes_back_when_the_worker_stops(broker, server, task):
    sent(broker, task)
    channel, _ = taken(broker)
    assert server.llen("commands") == 0
    channel.close()
    assert (server.llen("commands"), server.hlen(UNACKED)) == (1, 0)


@pytest.mark.parametrize("task", [DOORBELL, "reports.daily"])
def test_a_message_that_was_acknowledged_does_not_come_back(broker, server, task):
    sent(broker, task)
    channel, [message] = taken(broker)
    message.ack()
    channel.close()
    assert server.llen("commands") == 0


@pytest.mark.parametrize("task", [DOORBELL, "reports.daily"])
def test_a_message_can_be_handed_back(broker, server, task):
    sent(broker, task)
    _, [message] = taken(broker)
    message.requeue()
    assert (server.llen("commands"), server.hlen(UNACKED)) == (1, 0)


def test_a_worker_takes_no_more_doorbells_than_its_prefetch_count(broker, server):
    for _ in range(3):
        sent(broker, DOORBELL)
    channel, messages = taken(broker, prefetch=1)
    assert not channel.qos.can_consume()
    messages[0].ack()
    assert channel.qos.can_consume()
    assert server.llen("commands") == 2
