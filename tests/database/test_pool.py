"""The connections that a worker's threads share."""

from __future__ import annotations

import pytest
from django.db import connection, connections

from schedules import pool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shared():
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
