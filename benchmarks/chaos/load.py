"""The schedules of a run, and what each promises: `checker` holds the tables to these promises.

At scale 1: 200 every two seconds, 50 by a cron expression each minute, 30 that take longer than their
period and must not overlap, 20 of which three attempts in ten fail, and 40 for the clients to edit.
Half are commands, half Celery tasks; every second one may be repeated when its worker is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

PERIOD = 2
"""Seconds between two instants of everything that goes by an interval."""

MIXES = {"quick": 200, "minute": 50, "overlap": 30, "flaky": 20, "edited": 40}
PHASES = 8
"""Anchors of the intervals, evenly over the period: jobs of a real machine do not all start together."""

ATTEMPTS = 4
"""At most, of the flaky ones: three retries."""

OVERLAPPING_TASKS = 2
"""More would keep every child of a small prefork worker busy for good."""


@dataclass(frozen=True)
class Job:
    """One schedule, as `checker` sees it. `every` is None for those by the minute."""

    name: str
    kind: str
    mix: str
    every: timedelta | None
    exclusive: bool
    repeatable: bool
    max_attempts: int
    edited: bool
    schedule_id: int = 0
    anchor: datetime | None = None


def jobs(scale: float) -> list[Job]:
    return [
        _job(mix, number) for mix, count in MIXES.items() for number in range(max(2, round(count * scale)))
    ]


def _job(mix: str, number: int) -> Job:
    task = number % 2 == 1 if mix != "overlap" else number < OVERLAPPING_TASKS
    return Job(
        name=f"{mix}-{number:03}",
        kind="task" if task else "command",
        mix=mix,
        every=None if mix == "minute" else timedelta(seconds=PERIOD),
        exclusive=mix == "overlap",
        repeatable=(number // 2) % 2 == 0,
        max_attempts=ATTEMPTS if mix == "flaky" else 1,
        edited=mix == "edited",
    )


def columns(job: Job, *, number: int, script: Path, truth: Path, directory: Path) -> dict[str, Any]:
    """Columns of the schedule's row, but for its interval and its retry policy."""
    from benchmarks.chaos.jobs import command  # Celery's decorators need Django's settings

    work = {"overlap": "long", "flaky": "flaky"}.get(job.mix, "quick")
    steps = 5 + number % 3 if work == "long" else 0
    given: dict[str, Any] = {
        "name": job.name,
        "tags": job.mix,
        "kind": job.kind,
        "overlap": "skip" if job.exclusive else "allow",
        "on_worker_lost": "retry" if job.repeatable else "lost",
        "catch_up": ("latest", "skip", "all")[number % 3],
        "kill_grace": 2,
        "timezone": "UTC",
        "cron": "* * * * *" if job.every is None else "",
    }
    if job.kind == "command":
        return given | {"command": command(script, work, steps), "working_directory": str(directory)}
    arguments = f'["{truth}"{f", {steps}" if steps else ""}]'
    return given | {"task": f"chaos.{work}", "args": arguments}


def anchor(job: Job, number: int, now: datetime) -> datetime | None:
    if job.every is None:
        return None
    return now - timedelta(seconds=PERIOD * (number % PHASES) / PHASES)


def create(jobs_wanted: list[Job], *, script: Path, truth: Path, directory: Path) -> list[Job]:
    """Writes the rows, with the product's own bulk writer, and returns the jobs with their keys."""
    from dataclasses import replace

    from django_celery_beat.models import IntervalSchedule

    from schedules import catalog
    from schedules.models import RetryPolicy, Schedule
    from schedules.querysets import database_now

    interval = IntervalSchedule.objects.create(every=PERIOD, period="seconds")
    policy = RetryPolicy.objects.create(name="chaos", max_attempts=ATTEMPTS, delays=[1])
    now = database_now()
    rows = [
        Schedule(
            **columns(job, number=number, script=script, truth=truth, directory=directory),
            interval=interval if job.every else None,
            anchor_at=anchor(job, number, now),
            retry_policy=policy if job.max_attempts > 1 else None,
        )
        for number, job in enumerate(jobs_wanted)
    ]
    made = {row.given_name: row for row in catalog.create_many(rows, by="chaos")}
    return [
        replace(job, schedule_id=made[job.name].pk, anchor=made[job.name].anchor_at) for job in jobs_wanted
    ]
