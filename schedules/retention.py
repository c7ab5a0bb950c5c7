"""Old runs are deleted, a few schedules at a time. Called by `beat`.

Kept: everything younger than the retention, the last runs of each schedule whatever their age, and
what is not over. Each step is short, so that a large backlog never holds a lock, or beat, for long.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from schedules import conf, events
from schedules.models import Attempt, AttemptOutput, Beat, CommandCheck, Run, Schedule, Worker

SCHEDULES = 200
"""Schedules that one step looks at; each costs one short index scan."""

PROCESSES = 10
"""Rows of processes that one step deletes: each has to be taken out of its runs."""

CHECKS = 1000
"""Rows of checks that one step deletes."""


class Pruner:
    """Walks over the schedules, and over the runs that have lost theirs."""

    def __init__(self) -> None:
        self._after = 0

    def step(self, now: datetime) -> bool:
        """Deletes at most a few batches. False: the walk is over, and the next step begins anew."""
        values = conf.current()
        old = Run.objects.filter(finished_at__lt=now - timedelta(days=values.retention_days))
        pks = list(
            Schedule.objects.filter(pk__gt=self._after)
            .order_by("pk")
            .values_list("pk", flat=True)[:SCHEDULES]
        )
        deleted, complete = 0, True
        for pk in pks:
            count = _delete_batch(_beyond_the_last(old, pk))
            deleted, complete = deleted + count, complete and count < values.retention_batch
        if not pks:
            count = _delete_batch(old.filter(schedule=None))
            deleted, complete = deleted + count, count < values.retention_batch
        if deleted:
            events.pruned(deleted)
        if complete:  # otherwise the same schedules once more
            self._after = pks[-1] if pks else 0
        return bool(pks) or not complete


def _beyond_the_last(old: QuerySet[Run], schedule: int) -> QuerySet[Run]:
    """The old runs of a schedule, without its last `retention_runs`, old or not."""
    count = conf.current().retention_runs
    runs = Run.objects.filter(schedule=schedule)
    if count <= 0:
        return old.filter(schedule=schedule)
    kept = runs.order_by("-pk").values_list("pk", flat=True)[count - 1 : count]
    oldest_kept = next(iter(kept), 0)
    return old.filter(schedule=schedule, pk__lt=oldest_kept)


def _delete_batch(runs: QuerySet[Run]) -> int:
    """Children first and by key: no cascade is collected in memory."""
    pks = list(runs.order_by("pk").values_list("pk", flat=True)[: conf.current().retention_batch])
    if not pks:
        return 0
    with transaction.atomic():
        attempts = Attempt.objects.filter(run__in=pks)
        AttemptOutput.objects.filter(attempt__in=attempts).delete()
        attempts.delete()
        Run.objects.filter(rerun_of__in=pks).update(rerun_of=None)
        Run.objects.filter(pk__in=pks).delete()
    return len(pks)


def forget_processes(now: datetime) -> None:
    """Rows of workers and beats that have not been seen for a week and execute nothing."""
    limit = now - timedelta(days=7)
    executing = Run.objects.active().filter(worker__isnull=False).values("worker")
    gone = Worker.objects.filter(seen_at__lt=limit).exclude(pk__in=executing)
    Worker.objects.filter(pk__in=list(gone.values_list("pk", flat=True)[:PROCESSES])).delete()
    Beat.objects.filter(seen_at__lt=limit).delete()
    _forget_checks(limit)


def _forget_checks(limit: datetime) -> None:
    """What was said of commands by workers that are gone for so long."""
    there = Worker.objects.filter(name=OuterRef("worker_name"))
    old = CommandCheck.objects.filter(~Exists(there), checked_at__lt=limit)
    CommandCheck.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:CHECKS])).delete()
