"""What tests with real beats and workers share."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection

from schedules import auditing, dispatch
from schedules.querysets import database_now
from tests.system.cluster import Cluster


@pytest.fixture
def cluster(tmp_path, request):
    """On SQLite with the embedded transport, on PostgreSQL with Redis. At the end the audit must be clean."""
    broker = "filesystem://" if connection.vendor == "sqlite" else request.getfixturevalue("redis_url")
    cluster = Cluster(broker, tmp_path)
    yield cluster
    cluster.close()
    print(cluster.logs())
    while dispatch.dispatch_due(database_now()):
        pass  # what fell due after the last beat
    assert [finding for _, finding in auditing.audit().findings()] == []


@pytest.fixture
def marked():
    """A duration for `sleep` that no other process has."""
    return f"3600.{uuid.uuid4().int % 10**9:09}"
