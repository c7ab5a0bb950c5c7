"""Edits of schedules by people and importers: create, change, pause, delete. Called by admin and commands.

An edit takes the dispatch lock, settles what is due under the old revision, then writes. It never
fires anything by itself: the next run is the first instant strictly after the edit.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django_celery_beat.models import PeriodicTask

from schedules import bulk, conf, events, occurrences, revisions
from schedules.errors import InvalidSchedule, UnknownSchedule
from schedules.models import Run, Schedule
from schedules.models.schedule import COMMAND_TASK, FOREVER, reserved_interval
from schedules.querysets import database_now
from schedules.rules.definition import Definition, Kind
from schedules.rules.states import Reason

BATCH = 500


def find(name: str) -> Schedule:
    """The live schedule of that name. Raises UnknownSchedule, with names that are near."""
    found = Schedule.objects.live().select_related("revision").filter(name=name).first()
    if found is None:
        near = Schedule.objects.live().filter(name__icontains=name[:20]).values_list("name", flat=True)[:3]
        hint = f" Did you mean {', '.join(repr(other) for other in near)}?" if near else ""
        raise UnknownSchedule(f'No schedule is named "{name}".{hint} All names: manage.py list_schedules')
    return found


def check(schedule: Schedule) -> Definition:
    """What the row would run, were it saved. Raises InvalidSchedule where it cannot be used."""
    _complete(schedule, now=schedule.anchor_at or database_now())
    definition = revisions.definition_of(schedule)
    queues = conf.current().queues
    if definition.queue and queues and definition.queue not in queues:
        raise InvalidSchedule(
            f'No worker knows a queue "{definition.queue}". Declared are: {", ".join(queues)}. '
            "Declare another with BEATKEEPER_QUEUES."
        )
    if definition.kind == Kind.COMMAND and "\x00" in definition.command:
        raise InvalidSchedule("The command contains a NUL character, which no shell can read.")
    return definition


def save(schedule: Schedule, *, by: str, note: str = "") -> Schedule:
    """Creates or changes one schedule from the instance that a form filled in. Raises InvalidSchedule."""
    check(schedule)
    with transaction.atomic():
        now = database_now()
        if schedule.pk:
            occurrences.lock_settled([schedule.pk], now=now, by=by)
        schedule.save()
        return _apply([schedule.pk], by=by, note=note, now=now)[0]


@transaction.atomic
def create_many(schedules: Sequence[Schedule], *, by: str, note: str = "") -> list[Schedule]:
    """The bulk writer: two inserts a batch, for import, fixtures and benchmarks. In one transaction."""
    now = database_now()
    created: list[Schedule] = []
    for start in range(0, len(schedules), BATCH):
        batch = schedules[start : start + BATCH]
        for schedule in batch:
            _complete(schedule, now=now)
        parents = PeriodicTask.objects.bulk_create([_parent(schedule) for schedule in batch])
        rows = [_child(schedule, parent.pk) for schedule, parent in zip(batch, parents, strict=True)]
        bulk.insert(Schedule, rows, using=Schedule.objects.db)
        created += _apply([parent.pk for parent in parents], by=by, note=note, now=now)
    return created


def change(pks: Collection[int], *, by: str, note: str = "", **columns: Any) -> list[Schedule]:
    """Sets the same columns on each; returns those whose definition changed. In one transaction."""
    with transaction.atomic():
        now = database_now()
        rows = occurrences.lock_settled(pks, now=now, by=by)
        for row in rows:
            for column, value in columns.items():
                setattr(row, column, value)
            row.save(update_fields=list(columns))
        return _apply([row.pk for row in rows], by=by, note=note, now=now, changed_only=True)


def pause(pks: Collection[int], *, by: str, until: datetime | None = None, note: str = "") -> list[Schedule]:
    """Nothing falls due until `until`, or until somebody resumes. Running and waiting runs go on."""
    said = f"paused: {note}" if note else "paused"
    return change(pks, by=by, note=said, paused_until=until or FOREVER, pause_note=note)


def resume(pks: Collection[int], *, by: str) -> list[Schedule]:
    """The next run is the first instant after now: what fell into the pause is not made up for."""
    return change(pks, by=by, note="resumed", paused_until=None, pause_note="", enabled=True)


def enable(pks: Collection[int], *, by: str) -> list[Schedule]:
    return change(pks, by=by, note="enabled", enabled=True)


def disable(pks: Collection[int], *, by: str) -> list[Schedule]:
    return change(pks, by=by, note="disabled", enabled=False)


def delete(pks: Collection[int], *, by: str) -> int:
    """Soft: the history stays, waiting runs are cancelled, running ones go on. The name becomes free."""
    with transaction.atomic():
        now = database_now()
        rows = [row for row in occurrences.lock_settled(pks, now=now, by=by) if not row.is_deleted]
        for row in rows:
            row.enabled, row.deleted_at = False, now
            row.name = f"{row.name[:160]}~deleted~{row.pk}"
            row.save(update_fields=["enabled", "deleted_at", "name"])
        Run.objects.filter(schedule__in=rows).cancel_waiting(
            reason=Reason.SCHEDULE_DELETED, detail=f"The schedule was deleted by {by}."
        )
        _apply([row.pk for row in rows], by=by, note="deleted", now=now)
        return len(rows)


def _apply(
    pks: Collection[int], *, by: str, note: str, now: datetime, changed_only: bool = False
) -> list[Schedule]:
    rows = Schedule.objects.lock(pks)
    changed = revisions.apply(rows, by=by, note=note, now=now)
    for row in changed:
        events.schedule_changed(row, by=by)
    return changed if changed_only else rows


def _complete(schedule: Schedule, *, now: datetime) -> None:
    """What django-celery-beat needs of its own columns in a row whose timing or command is ours."""
    schedule.anchor_at = schedule.anchor_at or now
    if not (schedule.interval_id or schedule.crontab_id or schedule.clocked_id or schedule.solar_id):
        schedule.interval = reserved_interval()
    if schedule.cron and not schedule.timezone:
        schedule.timezone = settings.TIME_ZONE  # stored, because hosts may differ in theirs
    if schedule.kind == Kind.COMMAND:
        schedule.task = COMMAND_TASK


def _parent(schedule: Schedule) -> PeriodicTask:
    fields = [field for field in PeriodicTask._meta.concrete_fields if not field.primary_key]
    return PeriodicTask(**{field.attname: getattr(schedule, field.attname) for field in fields})


def _child(schedule: Schedule, pk: int) -> dict[str, Any]:
    own = [field for field in Schedule._meta.local_concrete_fields if not field.primary_key]
    return {"periodictask_ptr_id": pk, **{field.attname: getattr(schedule, field.attname) for field in own}}
