"""What `/healthz` says of beats and workers in every condition that a monitor should tell apart."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from scheduler import health
from schedules.models import Beat, Worker
from schedules.querysets import database_now

pytestmark = pytest.mark.django_db


def seen(model: Any, name: str, *, ago: float = 0.0, **fields: Any) -> None:
    at = database_now() - timedelta(seconds=ago)
    model.objects.create(
        name=name, host="vm", pid=7, instance=uuid.uuid4(), started_at=at, seen_at=at, **fields
    )


def status(client: Client) -> tuple[int, str]:
    answer = client.get("/healthz")
    return answer.status_code, answer.json()["status"]


def test_a_beat_and_a_worker_make_it_well(client: Client) -> None:
    seen(Beat, "beat@vm", ago=2)
    seen(Worker, "commands@vm", ago=3, queues="commands")

    answer = client.get("/healthz")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert 2 <= answer.json()["beats"][0]["age_seconds"] < 30
    assert answer.json()["workers"][0]["queues"] == "commands"


def test_nothing_at_all_is_not_well(client: Client) -> None:
    assert status(client) == (503, "no beat")


def test_a_beat_without_workers_is_not_well(client: Client) -> None:
    seen(Beat, "beat@vm")

    assert status(client) == (503, "no worker")


def test_a_worker_that_has_gone_silent_is_named(client: Client) -> None:
    seen(Beat, "beat@vm")
    seen(Worker, "commands@vm")
    seen(Worker, "tasks@vm", ago=300)

    assert status(client) == (503, "stale: tasks@vm")


def test_a_worker_that_beat_has_taken_for_dead_is_still_missed(client: Client) -> None:
    seen(Beat, "beat@vm")
    seen(Worker, "commands@vm")
    seen(Worker, "tasks@vm", ago=300, stopped_at=database_now())

    assert status(client) == (503, "stale: tasks@vm")


def test_a_beat_one_of_whose_parts_hangs_is_not_well(client: Client) -> None:
    long_ago = database_now() - timedelta(minutes=10)
    seen(Beat, "beat@vm", parts={"dispatch": long_ago.isoformat()})
    seen(Worker, "commands@vm")

    assert status(client) == (503, "stale: beat@vm")


def test_a_process_that_was_started_again_counts_by_its_new_row(client: Client) -> None:
    seen(Beat, "beat@vm", ago=200)
    seen(Beat, "beat@vm")
    seen(Worker, "commands@vm")

    assert status(client) == (200, "ok")


def test_a_process_that_stopped_in_order_or_long_ago_is_not_missed(client: Client) -> None:
    seen(Beat, "beat@vm")
    seen(Worker, "commands@vm")
    seen(Worker, "stopped@vm", ago=300, stopped_at=database_now() - timedelta(seconds=301))
    seen(Worker, "forgotten@vm", ago=7200)

    assert status(client) == (200, "ok")


def test_a_database_that_does_not_answer_is_said_without_a_traceback(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError

    monkeypatch.setattr(health, "report", fail)

    assert status(client) == (503, "database does not answer")


def test_the_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"
