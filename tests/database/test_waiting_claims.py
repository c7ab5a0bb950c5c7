"""A worker whose database is away keeps the messages that it has: each claim waits, nothing is let go of.

A dropped message rings again only when its `redispatch_at` has passed, which may be ten minutes later.
"""

from __future__ import annotations

import pytest
from django.db import OperationalError

from schedules import execute
from schedules.worker import process
from tests.factories import make_run, make_schedule

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_process():
    yield
    process.stop_current()


@pytest.fixture
def outages(monkeypatch) -> list[Exception]:
    """What the next claims meet, last first."""
    real = execute.claim
    waiting: list[Exception] = []

    def claim(run_id, worker):
        if waiting:
            raise waiting.pop()
        return real(run_id, worker)

    monkeypatch.setattr(execute, "claim", claim)
    monkeypatch.setattr(execute, "LONGEST_CLAIM_WAIT", 0)
    return waiting


def test_a_claim_waits_until_the_database_is_back(outages):
    run = make_run(make_schedule())
    outages += [OperationalError("gone"), OperationalError("still gone")]

    execute.execute(run.pk)

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("succeeded", 1)


def test_a_worker_that_has_to_leave_does_not_wait_for_the_database(outages, monkeypatch):
    here = process.current()
    run = make_run(make_schedule())
    outages += [OperationalError("gone")] * 2
    monkeypatch.setattr(here.is_leaving, "wait", lambda seconds: True)  # told to, during the first outage

    execute.execute(run.pk)

    run.refresh_from_db()
    assert (run.state, len(outages)) == ("pending", 1)


def test_an_error_that_is_no_outage_is_not_tried_again(outages):
    run = make_run(make_schedule())
    outages += [ValueError("our own mistake")]

    with pytest.raises(ValueError, match="our own mistake"):
        execute.execute(run.pk)
