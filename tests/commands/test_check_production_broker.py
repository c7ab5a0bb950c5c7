"""`check_production` on brokers that answer as they are told; real ones are in `tests/worker`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import current_app

from schedules.production import alarms, broker
from schedules.production.broker import Fleet
from schedules.rules.production import Level
from tests.commands.findings import levels

OK, WARNING, ERROR = Level.OK, Level.WARNING, Level.ERROR


def rabbitmq(version="4.1.0", *, confirms=True, asked=True):
    properties = {"version": version, "capabilities": {"publisher_confirms": confirms}}
    return SimpleNamespace(
        connection=SimpleNamespace(server_properties=properties),
        transport_options={"confirm_publish": asked},
    )


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (rabbitmq("4.1.0"), {"broker.version": OK}),
        (rabbitmq("3.13.7"), {"broker.version": OK}),
        (rabbitmq("3.12.14"), {"broker.version": WARNING}),
        (rabbitmq("3.9.8"), {"broker.version": ERROR}),
        (rabbitmq("unknown"), {"broker.version": ERROR}),
        (rabbitmq(confirms=False), {"broker.version": OK, "broker.confirms": ERROR}),
        (rabbitmq(asked=False), {"broker.version": OK, "broker.confirms": WARNING}),
    ],
)
def test_what_rabbitmq_says_of_itself_is_judged(monkeypatch, link, expected):
    monkeypatch.setattr(broker, "_queues", lambda link: [])
    monkeypatch.setattr(alarms, "look", lambda link: [])
    assert levels(broker._rabbitmq(link)) == expected


class Redis:
    """A client of a server that says this of itself, and has a password."""

    connection_pool = SimpleNamespace(connection_kwargs={"password": "p"})

    def __init__(self, **sections):
        self.sections = sections

    def info(self, section):
        return self.sections.get(section, {})


def redis(version="7.2.4", *, mode="standalone", memory=None, persistence=None):
    client = Redis(
        server={"redis_version": version, "redis_mode": mode},
        memory=memory or {"maxmemory_policy": "noeviction"},
        persistence=persistence or {},
    )
    return SimpleNamespace(default_channel=SimpleNamespace(client=client, _size=lambda name: 0))


GOOD = {"broker.version": OK, "broker.memory_policy": OK, "broker.persistence": OK, "broker.queues": OK}
LIMITED = {"maxmemory_policy": "allkeys-lru", "maxmemory": 100 << 20}


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (redis(), {}),
        (redis("6.0.16"), {}),
        (redis("5.0.14"), {"broker.version": ERROR}),
        (redis(mode="cluster"), {"broker.cluster": ERROR}),
        (redis(memory=LIMITED), {"broker.memory_policy": ERROR}),
        (redis(memory=LIMITED | {"maxmemory": 0}), {"broker.memory_policy": WARNING}),
        (redis(memory={"maxmemory": 100}), {"broker.memory_policy": ERROR}),  # it does not say which
        (redis(persistence={"aof_enabled": 1}), {}),
        (redis(persistence={"rdb_last_bgsave_status": "err"}), {"broker.persistence": ERROR}),
        (redis(persistence={"aof_last_write_status": "err"}), {"broker.persistence": ERROR}),
    ],
)
def test_what_redis_says_of_itself_is_judged(link, expected):
    assert levels(broker._redis(link)) == GOOD | expected


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (["w@a", "celerybeat@a"], {"broker.answers": OK}),
        (["w@a", "celerybeat@a", "stranger@b"], {"broker.answers": OK}),
        (["w@a"], {"broker.silent": WARNING}),
        ([], {"broker.silent": WARNING}),
    ],
)
def test_whoever_lives_and_does_not_answer_is_a_warning(monkeypatch, heard, expected):
    monkeypatch.setitem(current_app.conf, "beat_enable_remote_control", True)
    replies = [{who: {"ok": "pong"}} for who in heard]
    monkeypatch.setattr(current_app.control, "ping", lambda timeout, connection: replies)
    fleet = Fleet(frozenset({"w@a"}), frozenset({"celerybeat@a"}))
    assert levels(broker._answers(None, fleet)) == expected


def test_a_directory_of_messages_that_is_not_there_is_a_warning_and_is_not_made(monkeypatch, tmp_path):
    folder = tmp_path / "queue"
    monkeypatch.setitem(current_app.conf, "broker_transport_options", {"folder": str(folder)})
    assert levels(broker.look(Fleet())) == {"broker.missing": WARNING}
    assert not folder.exists()


def test_a_broker_that_answers_is_in_order(monkeypatch):
    monkeypatch.setitem(current_app.conf, "broker_url", "memory://")
    monkeypatch.setitem(current_app.conf, "broker_transport_options", {})
    assert levels(broker.look(Fleet())) == {"broker.reached": OK}
