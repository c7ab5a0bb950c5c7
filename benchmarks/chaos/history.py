"""The past: runs of schedules that are no longer enabled, written by PostgreSQL itself before a run begins.

One run and its attempt are made as the product makes them, and copied. They lie within retention, so each of
them must still be there at the end: `losses` says how many are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from django.db import connection, models

from schedules import catalog
from schedules.models import Attempt, Run, Schedule
from schedules.querysets import database_now

PREFIX = "archive-"
SCHEDULES = 500
DAYS = 20
"""Less than retention keeps."""

CHUNK = 250_000


TIMES = ("scheduled_for", "created_at", "available_at", "queued_at", "started_at")


def write(count: int) -> int:
    """Writes `count` runs, the last of them half an hour old; returns the highest key."""
    schedules = catalog.create_many(
        [
            Schedule(name=f"{PREFIX}{number:03}", command="true", cron="* * * * *", enabled=False)
            for number in range(SCHEDULES)
        ],
        by="chaos",
    )
    age = timedelta(days=DAYS)
    run = _first(schedules[0], database_now() - age)
    attempt = Attempt.objects.get(run=run)
    step = (age - timedelta(minutes=30)) / count
    for start in range(1, count, CHUNK):
        _copy_runs(run, schedules, range(start, min(start + CHUNK, count)), step)
    _copy_attempts(attempt)
    with connection.cursor() as cursor:
        for table in ("run", "attempt", "schedule", "revision"):
            cursor.execute(f"VACUUM (ANALYZE) schedules_{table}")
    last: int = Run.objects.order_by("-pk").values_list("pk", flat=True)[0]
    return last


def losses(count: int) -> list[str]:
    """What is missing of `count` runs and their attempts."""
    runs = Run.objects.filter(name__startswith=PREFIX).count()
    attempts = Attempt.objects.filter(run__name__startswith=PREFIX).count()
    if (runs, attempts) == (count, count):
        return []
    return [f"of {count:,} old runs there are {runs:,}, and {attempts:,} of their attempts"]


def _first(schedule: Schedule, at: datetime) -> Run:
    """One that succeeded. Inserted as it ended, not led there: it is the past."""
    end = at + timedelta(seconds=1)
    run: Run = Run.objects.create(
        schedule=schedule,
        revision=schedule.revision,
        name=schedule.given_name,
        trigger="schedule",
        queue="commands",
        state="succeeded",
        attempt=1,
        dispatches=1,
        finished_at=end,
        **dict.fromkeys(TIMES, at),
    )
    Attempt.objects.create(
        run=run,
        number=1,
        token=uuid4(),
        planned_at=at,
        started_at=at,
        finished_at=end,
        outcome="succeeded",
        exit_code=0,
    )
    return run


def _copy_runs(first: Run, schedules: Sequence[Schedule], numbers: range, step: timedelta) -> None:
    """The schedules in turn, each run a step after the one before it."""
    shift = f"interval '{step.total_seconds():.6f} s' * n"
    changed = {column: f"original.{column} + {shift}" for column in (*TIMES, "finished_at")}
    changed |= {"schedule_id": "schedule.pk", "name": "schedule.name", "revision_id": "schedule.revision"}
    values = ", ".join(
        f"({n}, {row.pk}, {row.revision_id}, '{row.given_name}')" for n, row in enumerate(schedules)
    )
    source = (
        f"generate_series({numbers.start}, {numbers.stop - 1}) AS n JOIN (VALUES {values})"
        f" AS schedule (rank, pk, revision, name) ON schedule.rank = mod(n, {len(schedules)})"
    )
    _copy(first, changed, source)


def _copy_attempts(first: Attempt) -> None:
    shift = "(run.scheduled_for - original.planned_at)"
    changed = {
        column: f"original.{column} + {shift}" for column in ("planned_at", "started_at", "finished_at")
    }
    changed |= {"run_id": "run.id", "token": "gen_random_uuid()"}
    _copy(first, changed, "schedules_run AS run", f"run.id > {first.run_id}")


def _copy(first: models.Model, changed: Mapping[str, str], source: str, where: str = "true") -> None:
    """One row of `first`'s table for each row of `source`: its own columns, but for those `changed`."""
    table = first._meta.db_table
    columns = [str(field.column) for field in first._meta.concrete_fields if not field.primary_key]
    selected = ", ".join(changed.get(column, f"original.{column}") for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {selected}"
            f" FROM {table} AS original, {source} WHERE original.id = %s AND {where}",
            [first.pk],
        )
