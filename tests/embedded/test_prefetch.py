"""What a worker takes ahead of its work, by pool and broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery import Celery

from scheduler.celery import take_nothing_ahead


@pytest.mark.parametrize(
    ("broker", "pool", "disabled"),
    [
        ("redis://localhost/0", "celery.concurrency.prefork:TaskPool", True),
        # Its loop is not woken by a thread that ends: each message would wait for up to a second.
        ("redis://localhost/0", "celery.concurrency.thread:TaskPool", False),
        ("amqp://localhost//", "celery.concurrency.prefork:TaskPool", False),
    ],
)
def test_only_children_on_redis_take_nothing_ahead(broker, pool, disabled):
    app = Celery(broker=broker, set_as_current=False)
    take_nothing_ahead(instance=SimpleNamespace(app=app, pool_cls=pool), conf=app.conf)
    assert bool(app.conf.worker_disable_prefetch) == disabled
