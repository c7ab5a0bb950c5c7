"""What beats and workers say of themselves."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from celery import current_app

from schedules.beat import Engine
from schedules.models import Beat, Worker
from schedules.querysets import database_now
from schedules.worker import facts, process

pytestmark = pytest.mark.django_db(transaction=True)

TOLD = {"tzdata", "python", "celery", "beatkeeper", "skew"}


def test_the_skew_is_how_far_the_host_is_ahead(monkeypatch):
    assert abs(facts.skew()) < 5
    behind = database_now() - timedelta(minutes=2)
    monkeypatch.setattr(facts, "database_now", lambda: behind)
    assert facts.skew() == pytest.approx(120, abs=5)


def test_a_worker_says_what_it_is_when_it_registers_and_again_later():
    child = process.Process(name="w@tests", queues="commands", pool="thread", parent_pid=None)
    worker = child.worker
    assert Worker.objects.get().facts.keys() == TOLD
    Worker.objects.update(facts={})
    child._tell(worker)
    assert Worker.objects.get().facts == {}  # not at each heartbeat
    child._told_at = time.monotonic() - facts.REFRESH_SECONDS
    child._tell(worker)
    assert Worker.objects.get().facts.keys() == TOLD


def test_a_beat_says_what_it_is_when_it_registers_and_again_later():
    engine = Engine(current_app)
    engine._beat()
    assert Beat.objects.get().facts.keys() == TOLD
    Beat.objects.update(facts={})
    engine._due_at.clear()  # as if ten minutes had passed
    engine._beat()
    assert Beat.objects.get().facts.keys() == TOLD
