"""What our Redis transport does with doorbells, and leaves as it is for every other message."""

from __future__ import annotations

import pytest
import redis
from kombu import Connection, Consumer, Exchange, Producer, Queue

from scheduler import topology
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
    broker.drain_events(timeout=60)
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


def test_a_prefix_stands_before_every_key(redis_url, server):
    before = {*server.scan_iter()}
    options = {"global_keyprefix": "shared:"}
    with Connection(redis_url, transport="scheduler.redis:Transport", transport_options=options) as prefixed:
        sent(prefixed, DOORBELL)
        channel, _ = taken(prefixed)
        channel.close()  # goes back
    assert server.llen("shared:commands") == 1
    assert {key for key in server.scan_iter() if not key.startswith(b"shared:")} == before
    server.delete(*server.scan_iter("shared:*"))


@pytest.mark.parametrize(
    ("key", "sizes"),
    [("reports.daily.eu", (1, 0)), ("reports", (1, 0)), ("x.urgent", (1, 1)), ("other", (0, 0))],
)
def test_topics_reach_the_queues_whose_patterns_fit(redis_url, server, key, sizes):
    wanted = topology.read(["reports:reports.#", "reports:*.urgent", "alarms:*.urgent"], always=())
    queues = topology.queues(wanted, broker_url=redis_url, default="tasks", topic_exchange="topics")
    with Connection(redis_url, transport="scheduler.redis:Transport") as broker:
        for queue in queues:
            queue.bind(broker.channel()).declare()
        Producer(broker).publish([], exchange=Exchange("topics", type="topic"), routing_key=key)
    try:
        assert (server.llen("reports"), server.llen("alarms")) == sizes
    finally:
        server.delete("reports", "alarms", "_kombu.binding.topics", "_kombu.binding.tasks")


def test_a_publisher_with_kombus_own_transport_reaches_them_too(redis_url, server):
    """Another codebase: the pattern that it matches is the one which our worker left in Redis."""
    wanted = topology.read(["reports:reports.#"], always=())
    [queue] = topology.queues(wanted, broker_url=redis_url, default="tasks", topic_exchange="topics")
    with Connection(redis_url, transport="scheduler.redis:Transport") as ours:
        queue.bind(ours.channel()).declare()
    with Connection(redis_url) as theirs:
        topics = Exchange("topics", type="topic")
        Producer(theirs).publish([], exchange=topics, routing_key="reports", declare=[topics])
    try:
        assert server.llen("reports") == 1
    finally:
        server.delete("reports", "_kombu.binding.topics", "_kombu.binding.tasks")
