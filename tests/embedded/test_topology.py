"""Which queues an installation declares, and how each broker is told."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from kombu import Connection, Exchange

from scheduler import environment, topology

RABBITMQ = "amqp://u:p@mq.example.org/beatkeeper"


def declared(words, broker_url=RABBITMQ):
    wanted = topology.read(words, always=("commands", "tasks"))
    return {
        queue.name: queue
        for queue in topology.queues(wanted, broker_url=broker_url, default="tasks", topic_exchange="topics")
    }


def bindings(queue):
    return {(found.exchange.name, found.exchange.type, found.routing_key) for found in queue.bindings}


def test_a_queue_is_reached_by_its_name_and_by_its_topics():
    queues = declared(["reports:reports.#", "reports:*.urgent", "tasks:tasks.#", "big"])
    assert list(queues) == ["commands", "tasks", "reports", "big"]
    assert bindings(queues["reports"]) == {
        ("tasks", "direct", "reports"),
        ("topics", "topic", "reports.#"),
        ("topics", "topic", "*.urgent"),
    }
    assert bindings(queues["tasks"]) == {("tasks", "direct", "tasks"), ("topics", "topic", "tasks.#")}
    assert (bindings(queues["big"]), queues["big"].exchange.name) == (set(), "tasks")


@pytest.mark.parametrize("word", [":a", "a:", "a:b..c", "a:b#", "x" * 256])
def test_a_queue_that_cannot_be_is_refused_at_the_start(word):
    with pytest.raises(ImproperlyConfigured, match="BEATKEEPER_QUEUES"):
        topology.read([word], always=())


def test_rabbitmq_keeps_quorum_queues_with_a_delivery_limit_and_others_have_no_such_choice():
    arguments = declared([])["commands"].queue_arguments
    assert arguments == {"x-queue-type": "quorum", "x-delivery-limit": 5}
    assert declared([], "redis://localhost/0")["commands"].queue_arguments is None


def test_redis_gives_up_on_connections_that_say_nothing(tmp_path):
    options = environment.transport_options("redis://localhost/0", tmp_path)
    assert options["socket_timeout"] > 1  # a worker waits one second for a message
    assert options["socket_connect_timeout"]
    assert "global_keyprefix" not in options


def test_a_prefix_is_for_those_who_share_a_redis_database(tmp_path, monkeypatch):
    monkeypatch.setenv("BEATKEEPER_REDIS_PREFIX", "beatkeeper:")
    options = environment.transport_options("rediss://localhost/0", tmp_path)
    assert options["global_keyprefix"] == "beatkeeper:"


def test_rabbitmq_confirms_what_is_sent(tmp_path):
    assert environment.transport_options(RABBITMQ, tmp_path) == {"confirm_publish": True}


@pytest.mark.parametrize(
    ("key", "takers"),
    [
        ("reports.daily", ["reports"]),
        ("reports", ["reports"]),  # kombu's own emulation would lose this one
        ("x.urgent", ["reports", "tasks"]),
        ("other", []),
    ],
)
def test_files_hand_topics_to_the_queues_whose_patterns_fit(tmp_path, key, takers):
    queues = declared(["reports:reports.#", "reports:*.urgent", "tasks:*.urgent"], "filesystem://")
    with Connection(
        "filesystem://", transport="scheduler.filesystem:Transport", transport_options={"folder": tmp_path}
    ) as link:
        channel = link.channel()
        for queue in queues.values():
            queue.bind(channel).declare()
        link.Producer(channel).publish([], exchange=Exchange("topics", type="topic"), routing_key=key)
        assert sorted(name for name in queues if channel._size(name)) == takers
