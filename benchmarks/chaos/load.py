"""The schedules of a run, and what each promises: `checker` holds the tables to these promises.

At scale 1: 200 every two seconds, or in another period, 50 by a cron expression each minute, 30 that take
longer than their period and must not overlap, 20 of which three attempts in ten fail, and 40 for the clients
to edit. Each minute also come commands that outlast a deployment (6), that take all the memory they may have
(6), and that flood their output or leave processes behind (12). Of the rest half are commands, half Celery
tasks; every second one may be repeated when its worker is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

PERIOD = 2
"""Seconds between two instants of everything that goes by an interval, unless another period is asked for."""

MIXES = {
    "quick": 200,
    "minute": 50,
    "overlap": 30,
    "flaky": 20,
    "edited": 40,
    "lasting": 6,
    "greedy": 6,
    "noisy": 12,
}
COMMANDS_ONLY = ("overlap", "lasting", "greedy", "noisy")
FAILING = ("flaky", "greedy")
BY_THE_MINUTE = ("minute", "lasting", "greedy", "noisy")
BURST = "burst"

LASTING_LEASES = 5
"""A job of five minutes, compressed as the lease of a minute is: far longer than a worker's drain."""

GREEDY_MEGABYTES = 64
PHASES = 8
"""Anchors of the intervals, evenly over the period: jobs of a real machine do not all start together."""

ATTEMPTS = 4
"""At most, of the flaky ones: three retries."""

OVERLAPPING_TASKS = 2
"""More would keep every child of a small prefork worker busy for good."""


@dataclass(frozen=True)
class Job:
    """One schedule, as `checker` sees it. `every` is None for those by the minute or due `once`."""

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
    once: datetime | None = None


def jobs(scale: float, *, period: int = PERIOD, burst: int = 0) -> list[Job]:
    """`period` in seconds: a longer one is a lower rate of as many schedules. `burst`: so many more, all due
    at one instant."""
    every = timedelta(seconds=period)
    usual = [
        _job(mix, number, every)
        for mix, count in MIXES.items()
        for number in range(max(2, round(count * scale)))
    ]
    return usual + [_job(BURST, number, every) for number in range(burst)]


def _job(mix: str, number: int, every: timedelta) -> Job:
    task = number % 2 == 1 if mix not in COMMANDS_ONLY else mix == "overlap" and number < OVERLAPPING_TASKS
    return Job(
        name=f"{mix}-{number:03}",
        kind="task" if task else "command",
        mix=mix,
        every=None if mix in (*BY_THE_MINUTE, BURST) else every,
        exclusive=mix == "overlap",
        repeatable=(number // 2) % 2 == 0,
        max_attempts=ATTEMPTS if mix == "flaky" else 1,
        edited=mix == "edited",
    )


@dataclass(frozen=True)
class Places:
    """Where commands find their script, where they write the truth, and where they work."""

    script: Path
    truth: Path
    directory: Path


def columns(job: Job, places: Places, *, number: int, lease: float) -> dict[str, Any]:
    """Columns of the schedule's row, but for its interval and its retry policy."""
    given: dict[str, Any] = {
        "name": job.name,
        "tags": job.mix,
        "kind": job.kind,
        "overlap": "skip" if job.exclusive else "allow",
        "on_worker_lost": "retry" if job.repeatable else "lost",
        "catch_up": ("latest", "skip", "all")[number % 3],
        "kill_grace": 2,
        "timezone": "UTC",
        "cron": _cron(job),
    }
    if job.mix == "greedy":
        given["memory_limit"] = GREEDY_MEGABYTES
    return given | _work(job, places, number=number, lease=lease)


def _cron(job: Job) -> str:
    if job.once is not None:
        return f"{job.once:%-M %-H %-d %-m} *"
    return "* * * * *" if job.every is None else ""


def _work(job: Job, places: Places, *, number: int, lease: float) -> dict[str, Any]:
    """What it executes. `benchmarks.chaos.jobs` knows these words."""
    from benchmarks.chaos import jobs  # Celery's decorators need Django's settings

    work = {
        "overlap": f"long {_steps(job) + number % 3}",
        "lasting": f"long {round(LASTING_LEASES * lease / jobs.STEP)}",
        "flaky": "flaky",
        "greedy": f"greedy {number % 2}",
        "noisy": f"noisy {number % jobs.NOISES}",
    }.get(job.mix, "quick")
    if job.kind == "command":
        return {
            "command": jobs.command(places.script, work),
            "working_directory": str(places.directory),
        }
    name, _, steps = work.partition(" ")
    return {"task": f"chaos.{name}", "args": f'["{places.truth}"{f", {steps}" if steps else ""}]'}


def _steps(job: Job) -> int:
    """Of a job that takes a little longer than its period."""
    from benchmarks.chaos import jobs

    return round(job.every.total_seconds() / jobs.STEP) + 1 if job.every else 0


def anchor(job: Job, number: int, now: datetime) -> datetime | None:
    if job.every is None:
        return None
    return now - job.every * (number % PHASES) / PHASES


def burst_at(now: datetime, quiet: float) -> datetime:
    """The first full minute after the quiet time; `quiet` in seconds."""
    after = now + timedelta(seconds=quiet)
    return after.replace(second=0, microsecond=0) + timedelta(minutes=1)


def create(jobs_wanted: list[Job], places: Places, *, lease: float, quiet: float) -> list[Job]:
    """Writes the rows, with the product's own bulk writer, and returns the jobs with their keys."""
    from django_celery_beat.models import IntervalSchedule

    from schedules import catalog
    from schedules.models import RetryPolicy, Schedule
    from schedules.querysets import database_now

    period = next(job.every for job in jobs_wanted if job.every)
    interval = IntervalSchedule.objects.create(every=period.seconds, period="seconds")
    policy = RetryPolicy.objects.create(name="chaos", max_attempts=ATTEMPTS, delays=[1])
    now = database_now()
    dated = [replace(job, once=burst_at(now, quiet) if job.mix == BURST else None) for job in jobs_wanted]
    rows = [
        Schedule(
            **columns(job, places, number=number, lease=lease),
            interval=interval if job.every else None,
            anchor_at=anchor(job, number, now),
            retry_policy=policy if job.max_attempts > 1 else None,
        )
        for number, job in enumerate(dated)
    ]
    made = {row.given_name: row for row in catalog.create_many(rows, by="chaos")}
    return [replace(job, schedule_id=made[job.name].pk, anchor=made[job.name].anchor_at) for job in dated]
