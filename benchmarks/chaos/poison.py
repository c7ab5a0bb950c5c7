"""Rows that nobody can use, written past every check: each must be set aside, alone, and say why."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator

from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from schedules import catalog
from schedules.models import Run, Schedule

PREFIX = "poison-"
MOST = 20
"""Rows of one run: more show nothing new."""


def insert(chance: random.Random) -> bool:
    """One of them, announced as django-celery-beat announces its changes."""
    if PeriodicTask.objects.filter(name__startswith=PREFIX).count() >= MOST:
        return False
    chance.choice(KINDS)(f"{PREFIX}{uuid.uuid4()}")
    PeriodicTasks.update_changed()
    return True


def _no_such_minute(name: str) -> None:
    minutes = CrontabSchedule.objects.create(minute="61", timezone="UTC")
    _task(name, crontab=minutes)


def _no_such_period(name: str) -> None:
    _task(name, interval=IntervalSchedule.objects.create(every=1, period="fortnights"))


def _no_arguments(name: str) -> None:
    _task(name, interval=_every_second(), args="not JSON")


def _no_such_zone(name: str) -> None:
    """Not due before it is spoilt: what was due then would rightly be settled under the revision before."""
    rare = Schedule(name=name, command="true", cron="0 4 29 2 *", timezone="UTC")
    made = catalog.save(rare, by="somebody with SQL")
    Schedule.objects.filter(pk=made.pk).update(timezone="Mars/Olympus")


KINDS: list[Callable[[str], None]] = [_no_such_minute, _no_such_period, _no_arguments, _no_such_zone]


def _task(name: str, **columns: object) -> None:
    """In one statement that no signal follows, as SQL would do it."""
    row = PeriodicTask(name=name, task="chaos.no_such_task", enabled=True, **{"args": "[]", **columns})
    PeriodicTask.objects.bulk_create([row])


def _every_second() -> IntervalSchedule:
    found: IntervalSchedule | None = IntervalSchedule.objects.filter(every=1, period="seconds").first()
    return found or IntervalSchedule.objects.create(every=1, period="seconds")


def unnoticed() -> Iterator[str]:
    """What became of such rows that must not."""
    for row in PeriodicTask.objects.filter(name__startswith=PREFIX).select_related("beatkeeper"):
        schedule = getattr(row, "beatkeeper", None)
        if schedule is None or not schedule.timing_error:
            yield f"{row.name} was not set aside: {row.crontab or row.interval}, {row.args}"
    for name in Run.objects.filter(name__startswith=PREFIX, attempt__gt=0).values_list("name", flat=True):
        yield f"{name} was executed"
