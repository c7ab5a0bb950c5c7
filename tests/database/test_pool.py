"""The connections that a worker's threads share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections

from schedules.worker import pool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared(monkeypatch):
    monkeypatch.setattr(pool, "FRESH_SECONDS", 3600.0)  # however slow the machine is
    shared = pool.Pool(1)
    yield shared
    shared.close()


def used(shared: pool.Pool) -> object:
    """The driver's connection with which a statement was executed."""
    with shared.connected():
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
        return connections["default"].connection


def test_a_connection_just_used_is_used_again_whatever_its_age_may_be(shared, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    assert used(shared) is used(shared)


def test_a_connection_that_has_been_idle_is_judged_by_djangos_rules(shared, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    monkeypatch.setattr(pool, "FRESH_SECONDS", -1.0)
    assert used(shared) is not used(shared)


def test_a_connection_that_was_lost_is_opened_anew(shared):
    first = used(shared)
    with shared.connected():
        first.close()
        with pytest.raises(Exception, match="closed"), connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1")
        connections["default"].errors_occurred = True
    assert used(shared) is not first


def test_threads_that_find_none_free_wait_and_all_get_their_turn():
    shared, most = pool.Pool(2), [0]
    busy: set[int] = set()

    def use(_):
        with shared.connected():
            busy.add(threading.get_ident())
            most[0] = max(most[0], len(busy))
            with connections["default"].cursor() as cursor:
                cursor.execute("SELECT 7")
                (found,) = cursor.fetchone()
            busy.discard(threading.get_ident())
        connections.close_all()
        return found

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(use, range(200))) == {7}
    shared.close()
    assert most[0] <= 2


def test_a_connection_that_cannot_be_refreshed_is_not_lost_to_the_others(shared, monkeypatch):
    used(shared)
    monkeypatch.setattr(pool, "FRESH_SECONDS", -1.0)
    with monkeypatch.context() as broken:
        broken.setattr(type(connections["default"]), "close_if_unusable_or_obsolete", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError), shared.connected():
            pass
    assert used(shared)


def test_a_warm_pool_has_its_connections_open_before_they_are_needed():
    shared = pool.Pool(3)
    shared.warm(2)
    with shared.connected():
        assert connections["default"].connection is not None
        shared.warm(3)  # the one in use does not keep it waiting
    with shared.connected():
        assert connections["default"].connection is not None
    shared.close()
