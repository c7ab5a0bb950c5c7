"""Whether `check_production` sees a Redis that lets other machines in without a password."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import redis
from redis.exceptions import NoPermissionError

from schedules.production import broker
from schedules.rules.production import Level


def client(password=None, **config):
    """A client of a server with that configuration; None: the account may not ask."""

    def config_get(*_):
        if not config:
            raise NoPermissionError("no rights")
        return {name.replace("_", "-"): value for name, value in config.items()}

    pool = SimpleNamespace(connection_kwargs={"password": password})
    return SimpleNamespace(connection_pool=pool, config_get=config_get)


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ({"bind": "* -::*", "protected_mode": "no"}, ["broker.open"]),
        ({"bind": "", "protected_mode": "no"}, ["broker.open"]),
        ({"bind": "127.0.0.1 10.0.0.5", "protected_mode": "no"}, ["broker.open"]),
        ({"bind": "127.0.0.1 -::1", "protected_mode": "no"}, []),
        ({"bind": "* -::*", "protected_mode": "yes"}, []),
        ({"bind": "* -::*", "protected_mode": "no", "password": "p"}, []),
        ({}, []),
    ],
)
def test_an_open_server_is_an_error(given, codes):
    found = list(broker._doors(client(**given)))
    assert [each.code for each in found] == codes
    assert {each.level for each in found} <= {Level.ERROR}


def test_a_real_server_answers_the_question(redis_url):
    found = {each.code for each in broker._doors(redis.Redis.from_url(redis_url))}
    assert found <= {"broker.open"}  # the server is whoever's machine it is
