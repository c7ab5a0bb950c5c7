"""Rows that others changed: django-celery-beat's own pages and API, fixtures, bulk updates, `beat_schedule`.

Called by `beat` whenever a change was announced and every few minutes, and by a signal for the usual
case. One set-based comparison of fingerprints finds the rows; only those are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from schedules import events, occurrences, revisions
from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.definition import Kind
from schedules.sql import bulk, source_keys

BATCH = 500

WINDOW = 10_000
"""Schedules compared at a time. For each that its outer joins pass without a change, PostgreSQL may keep what
the fingerprint was made of until the end of the statement: of a million that was all the memory there was.
"""


class Reconciler:
    """Remembers which announcement it has seen. One per beat."""

    def __init__(self) -> None:
        self._seen: datetime | None = None
        self._first = True

    def is_announced(self) -> bool:
        """Whether somebody announced a change since the last look. Different, not later: clocks step back."""
        latest = PeriodicTasks.last_change()
        announced = self._first or latest != self._seen
        self._seen, self._first = latest, False
        return announced


def reconcile() -> int:
    """Adopts rows without a schedule and takes over changes. Returns how many rows it touched."""
    count = 0
    while pks := list(_strangers().values_list("pk", flat=True)[:BATCH]):
        count += _adopt(pks)
    for window in _windows():
        pks = list(_changed().filter(window).values_list("pk", flat=True))
        for start in range(0, len(pks), BATCH):
            count += _take_over(pks[start : start + BATCH])
    return count


def reconcile_one(pk: int) -> None:
    """The same for one row that was just saved."""
    _adopt(list(_strangers().filter(pk=pk).values_list("pk", flat=True)))
    _take_over(list(_changed().filter(pk=pk).values_list("pk", flat=True)))


def _windows() -> Iterator[Q]:
    """Conditions that each hold for `WINDOW` schedules, and together for all."""
    keys = Schedule.objects.order_by("pk").values_list("pk", flat=True)
    after = 0
    while last := list(keys.filter(pk__gt=after)[WINDOW - 1 : WINDOW]):
        yield Q(pk__gt=after, pk__lte=last[0])
        after = last[0]
    yield Q(pk__gt=after)


def _strangers() -> QuerySet[PeriodicTask]:
    rows: QuerySet[PeriodicTask] = PeriodicTask.objects.filter(beatkeeper__isnull=True)
    return rows.order_by("pk")


def _changed() -> QuerySet[Schedule]:
    current = Schedule.objects.alias(current=source_keys.source_key())
    return current.exclude(source_key=F("current")).order_by("pk")


def _adopt(pks: Sequence[int]) -> int:
    """Gives each its child row; what it does follows in the same pass, as a change."""
    if not pks:
        return 0
    now = database_now()
    rows = [{"periodictask_ptr_id": pk, **_defaults(now)} for pk in pks]
    return len(bulk.insert(Schedule, rows, using=Schedule.objects.db, unless="(periodictask_ptr_id)"))


def _defaults(now: datetime) -> dict[str, object]:
    """The columns of a schedule that somebody made through django-celery-beat."""
    fresh = Schedule(kind=Kind.TASK, anchor_at=now)
    own = [field for field in Schedule._meta.local_concrete_fields if not field.primary_key]
    return {field.attname: getattr(fresh, field.attname) for field in own}


def _take_over(pks: Sequence[int]) -> int:
    if not pks:
        return 0
    with transaction.atomic():
        rows, now = occurrences.lock_settled(pks, by=revisions.OUTSIDE)
        _clear_overruled(rows)
        changed = revisions.apply(rows, by=revisions.OUTSIDE, now=now)
    for row in changed:
        events.schedule_changed(row, by=revisions.OUTSIDE)
    return len(rows)


def _clear_overruled(rows: Sequence[Schedule]) -> None:
    """Somebody set another timing on the parent: it wins, and our cron text goes."""
    overruled = [row for row in rows if row.cron and not row.has_own_timing]
    for row in overruled:
        row.cron = ""
    Schedule.objects.filter(pk__in=[row.pk for row in overruled]).update(cron="")
