"""The heartbeat of a worker process: what it says in an outage, and that it does not outlive the process."""

from __future__ import annotations

import threading

import pytest
from django.db import OperationalError

from schedules.models import Worker
from schedules.worker import process
from tests.factories import make_worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def here():
    return process.Process(name="still@tests", queues="", pool="solo", parent_pid=None)


def test_an_outage_is_said_at_its_begin_now_and_then_and_with_its_number_at_its_end(
    here, monkeypatch, caplog
):
    outages = [OperationalError("away")] * 25

    def look():
        if outages:
            raise outages.pop()

    monkeypatch.setattr(here, "_look", look)
    for _ in range(27):
        here._try()

    said = [record.getMessage() for record in caplog.records if "part=heartbeat" in record.getMessage()]
    failed = "part_failed part=heartbeat error=OperationalError: away"
    assert said == [failed, failed, "part_recovered part=heartbeat failures=25"]


def test_no_heartbeat_comes_after_the_row_says_that_the_process_stopped(here, monkeypatch):
    """A heartbeat takes back that a process stopped: its runs would be waited for, a lease long."""
    here._worker = make_worker()
    happened: list[str] = []
    begun, is_over = threading.Event(), threading.Event()

    def look():
        begun.set()
        here._ended.wait(60)
        is_over.wait(0.3)  # is set at once by an end that waits for nobody
        happened.append("heartbeat")

    def stop(queryset, pk):
        happened.append("stopped")
        is_over.set()

    monkeypatch.setattr(process, "LAST_HEARTBEAT_SECONDS", 60)
    monkeypatch.setattr(here, "_look", look)
    monkeypatch.setattr(type(Worker.objects), "stop", stop)
    here.start()
    assert begun.wait(60)

    here.stop()

    assert happened == ["heartbeat", "stopped"]
