"""Edits of schedules by people and importers: create, change, pause, delete. Called by admin and commands.

An edit takes the dispatch lock, settles what is due under the old revision, then writes. It never
fires anything by itself: the next run is the first instant strictly after the edit.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from schedules import conf, events, occurrences, revisions
from schedules.errors import InvalidSchedule, NotPossible, UnknownSchedule
from schedules.messages import routing
from schedules.models import Run, Schedule
from schedules.models.schedule import COMMAND_TASK, DELETED_MARK, FOREVER, reserved_interval
from schedules.querysets import database_now
from schedules.rules.definition import Definition, Delivery, Kind, Mode
from schedules.rules.states import Reason
from schedules.sql import bulk

BATCH = 500
NAMES_COMPARED = 5000
"""Names among which one is looked for that is spelt like an unknown one."""


def find(name: str) -> Schedule:
    """The live schedule of that name. Raises UnknownSchedule, with names that are near."""
    found = Schedule.objects.live().select_related("revision").filter(name=name).first()
    if found is None:
        near = _names_near(name)
        hint = f" Did you mean {', '.join(repr(other) for other in near)}?" if near else ""
        raise UnknownSchedule(f'No schedule is named "{name}".{hint} All names: manage.py list_schedules')
    return found


def find_any(name: str) -> Schedule:
    """The live schedule of that name, or else the one of that name that was deleted last."""
    try:
        return find(name)
    except UnknownSchedule:
        gone = Schedule.objects.filter(deleted_at__isnull=False, name__startswith=_deleted_name(name))
        found = gone.select_related("revision").order_by("-deleted_at").first()
        if found is None:
            raise
        return found


def _names_near(name: str) -> list[str]:
    """At most three: those that hold it, or else those that are spelt like it."""
    live = Schedule.objects.live().values_list("name", flat=True)
    holding = list(live.filter(name__icontains=name[:20])[:3])
    return holding or difflib.get_close_matches(name[:200], live[:NAMES_COMPARED])


def check(schedule: Schedule) -> Definition:
    """What the row would run, were it saved. Raises InvalidSchedule where it cannot be used."""
    _complete(schedule, now=schedule.anchor_at or database_now())
    definition = revisions.definition_of(schedule)
    _check_destination(definition)
    if definition.kind == Kind.COMMAND and "\x00" in definition.command:
        raise InvalidSchedule(
            "The command contains a NUL character, which no shell can read.", column="command"
        )
    return definition


def _check_destination(definition: Definition) -> None:
    """A queue that nobody declares, and a key that no queue takes, would keep every run waiting."""
    queues = conf.current().queues
    if definition.delivery == Delivery.MESSAGE:
        _check_message(definition, queues)
        return
    if definition.queue and queues and definition.queue not in queues:
        raise InvalidSchedule(
            f'No worker knows a queue "{definition.queue}". Declared are: {", ".join(queues)}. '
            "Declare another with BEATKEEPER_QUEUES.",
            column="queue",
        )
    if not (definition.exchange or definition.routing_key):
        return
    if definition.kind == Kind.COMMAND:
        raise InvalidSchedule(
            "A command goes to a queue by its name: leave exchange and routing key empty.",
            column="routing_key" if definition.routing_key else "exchange",
        )
    try:
        routing.queues_of(definition)
    except LookupError as error:
        raise InvalidSchedule(
            f"The runs would reach nobody: {error.args[0]}. Correct the routing key, or let a queue take it: "
            "BEATKEEPER_QUEUES=NAME:PATTERN",
            column="routing_key",
        ) from error


def _check_message(definition: Definition, ours: Collection[str]) -> None:
    """Which queues another codebase has is its own business; that they are not ours is not.

    A project that adopts the app names no queues of ours: there both may be one codebase.
    """
    if definition.queue in ours:
        raise InvalidSchedule(
            f'The queue "{definition.queue}" is read by Beatkeeper\'s own workers. '
            "Name a queue of the other codebase, or let our workers run the task: delivery run.",
            column="queue",
        )
    if ours and not (definition.queue or definition.exchange):
        raise InvalidSchedule(
            "Say where the message goes: the queue of the other codebase's workers (Celery's own default is "
            '"celery"), or an exchange with a routing key.',
            column="queue",
        )


def save(schedule: Schedule, *, by: str, note: str = "") -> Schedule:
    """Creates or changes one schedule from the instance that a form filled in.

    Raises InvalidSchedule, and NotPossible where somebody deleted it after the instance was read: a row that
    is written whole would be half alive again, with its name.
    """
    check(schedule)
    with transaction.atomic():
        rows, now = occurrences.lock_settled([schedule.pk] if schedule.pk else [], by=by)
        if schedule.pk and (not rows or rows[0].is_deleted):
            raise NotPossible(
                f'Schedule "{schedule.name}" was not saved: somebody has deleted it meanwhile. Its name is '
                "free again: make a new schedule, or leave it."
            )
        schedule.save()
        return _apply([schedule.pk], by=by, note=note, now=now)[0]


@transaction.atomic
def create_many(schedules: Sequence[Schedule], *, by: str, note: str = "") -> list[Schedule]:
    """The bulk writer: two inserts a batch, for import, fixtures and benchmarks. In one transaction."""
    now = database_now()
    created: list[Schedule] = []
    reserved = reserved_interval()  # looked for once, not for each: thousands come in one import
    for start in range(0, len(schedules), BATCH):
        batch = schedules[start : start + BATCH]
        for schedule in batch:
            _complete(schedule, now=now, reserved=reserved)
        parents = PeriodicTask.objects.bulk_create([_parent(schedule) for schedule in batch])
        rows = [_child(schedule, parent.pk) for schedule, parent in zip(batch, parents, strict=True)]
        bulk.insert(Schedule, rows, using=Schedule.objects.db)
        created += _apply([parent.pk for parent in parents], by=by, note=note, now=now)
    return created


def change(pks: Collection[int], *, by: str, note: str = "", **columns: Any) -> list[Schedule]:
    """Sets the same columns on each; returns those whose definition changed. In one transaction."""
    with transaction.atomic():
        rows, now = occurrences.lock_settled(pks, by=by)
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


def make_live(pks: Collection[int], *, by: str, note: str = "made live") -> list[Schedule]:
    """What is due from now on starts runs; what was due so far is recorded as a shadow's."""
    return change(pks, by=by, note=note, mode=Mode.LIVE.value)


def make_shadow(pks: Collection[int], *, by: str, note: str = "made a shadow") -> list[Schedule]:
    """What is due from now on is recorded and starts nothing; what was due so far starts runs."""
    return change(pks, by=by, note=note, mode=Mode.SHADOW.value)


def delete(pks: Collection[int], *, by: str) -> int:
    """Soft: the history stays, waiting runs are cancelled, running ones go on. The name becomes free."""
    with transaction.atomic():
        locked, now = occurrences.lock_settled(pks, by=by)
        rows = [row for row in locked if not row.is_deleted]
        for row in rows:
            row.enabled, row.deleted_at = False, now
            row.name = f"{_deleted_name(row.name)}{row.pk}"
            row.save(update_fields=["enabled", "deleted_at", "name"])
        Run.objects.filter(schedule__in=rows).cancel_waiting(
            reason=Reason.SCHEDULE_DELETED, detail=f"The schedule was deleted by {by}."
        )
        _apply([row.pk for row in rows], by=by, note="deleted", now=now)
        return len(rows)


def _deleted_name(name: str) -> str:
    """What the name of a deleted schedule begins with; its key follows."""
    return f"{name[:160]}{DELETED_MARK}"


def _apply(
    pks: Collection[int], *, by: str, note: str, now: datetime, changed_only: bool = False
) -> list[Schedule]:
    rows = Schedule.objects.lock(pks)
    changed = revisions.apply(rows, by=by, note=note, now=now)
    for row in changed:
        events.schedule_changed(row, by=by)
    return changed if changed_only else rows


def _complete(schedule: Schedule, *, now: datetime, reserved: IntervalSchedule | None = None) -> None:
    """What django-celery-beat needs of its own columns in a row whose timing or command is ours."""
    schedule.anchor_at = schedule.anchor_at or now
    if not (schedule.interval_id or schedule.crontab_id or schedule.clocked_id or schedule.solar_id):
        schedule.interval = reserved or reserved_interval()
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
