"""Rows for tests, made by the same code that makes them for users."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db.models.functions import Now

from schedules import catalog, execute, finishing, operate
from schedules.models import Attempt, RetryPolicy, Run, Schedule, Worker
from schedules.querysets import database_now
from schedules.rules.states import State


def make_schedule(name: str = "job", **columns: Any) -> Schedule:
    given = {"cron": "* * * * *", "timezone": "UTC", "command": "true"} | columns
    return catalog.save(Schedule(name=name, **given), by="tests")


def make_task_schedule(name: str = "task", **columns: Any) -> Schedule:
    return make_schedule(name, **({"kind": "task", "command": "", "cron": ""} | columns))


def make_manual(name: str = "job", **columns: Any) -> Schedule:
    """Started by hand only: a real beat would start others at each full minute, beside the test."""
    return make_schedule(name, cron="", **columns)


def make_later(name: str = "job", **columns: Any) -> Schedule:
    """Not due while a test runs, whatever the time: every minute is, for a test that ends in the next one."""
    return make_schedule(name, cron="0 0 29 2 *", **columns)


def due(schedule: Schedule, at: datetime) -> None:
    """Moves the first instant not yet accounted for; `at` must be an instant of the timing."""
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=at)


def last_minute() -> datetime:
    """The start of this minute, once enough of it is left for a test.

    In the next one, what was due then has waited for more than a minute: it is late, and no longer alone.
    """
    while (now := database_now()).second >= 50:
        time.sleep(0.02)
    return now.replace(second=0, microsecond=0)


def make_run(schedule: Schedule, **columns: Any) -> Run:
    run = operate.run_now(schedule, by="tests")
    if columns:
        Run.objects.filter(pk=run.pk).update(**columns)
        run.refresh_from_db()
    return run


def make_policy(**columns: Any) -> RetryPolicy:
    return RetryPolicy.objects.create(**({"name": "policy", "max_attempts": 3, "delays": [0]} | columns))


def make_worker(name: str = "worker@tests", **columns: Any) -> Worker:
    given = {"host": "tests", "pid": 1, "started_at": database_now(), "seen_at": database_now()} | columns
    return Worker.objects.create(name=name, **given)


def claimed(run: Run, worker: Worker | None = None) -> finishing.Claimed:
    """The run, executing: claimed by `worker`."""
    found = execute.claim(run.pk, worker or make_worker())
    assert found is not None
    return found


def make_history(schedule: Schedule, states: list[State], *, age: timedelta = timedelta()) -> list[Run]:
    """Finished runs with one attempt each, oldest first."""
    runs = []
    moment = database_now() - age
    for state in states:
        run = make_run(
            schedule, state=state, attempt=1, started_at=moment, finished_at=moment, created_at=moment
        )
        Attempt.objects.create(
            run=run,
            number=1,
            token=uuid.uuid4(),
            planned_at=moment,
            started_at=moment,
            finished_at=Now(),
            outcome="succeeded" if state == State.SUCCEEDED else "failed",
        )
        runs.append(run)
    return runs
