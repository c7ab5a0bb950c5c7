"""From schedule rows to definitions and revisions, and the next due instant that follows. In a transaction.

Called by `catalog` (edits by people) and `reconcile` (edits by others); both hold the locks. A revision
is written when the definition's digest changes, not at every save.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from django.conf import settings

from schedules.errors import BeatkeeperError, InvalidSchedule
from schedules.models import Revision, Schedule
from schedules.rules import delivery, timing
from schedules.rules.definition import (
    Background,
    CatchUp,
    Definition,
    Delivery,
    Kind,
    Mode,
    OnWorkerLost,
    Overlap,
)
from schedules.rules.retry import RetryPolicy
from schedules.rules.timing import Timing
from schedules.sql import bulk
from schedules.sql.source_keys import source_keys

OUTSIDE = "outside Beatkeeper"
"""The author of edits that came from elsewhere: code, fixtures, django-celery-beat's own pages."""


SET_ASIDE = "set aside: "
"""What the note of a revision begins with that says since when a row cannot be used; the error follows."""


def timing_of(schedule: Schedule) -> Timing:
    """When the row says that it runs, start and end included. Raises InvalidSchedule."""
    return timing.within(_plain_timing(schedule), not_before=schedule.start_time, not_after=schedule.expires)


def _plain_timing(schedule: Schedule) -> timing.Unbounded:
    if schedule.has_own_timing:
        return _own_timing(schedule)
    if schedule.crontab is not None:
        row = schedule.crontab
        columns = (row.minute, row.hour, row.day_of_month, row.month_of_year, row.day_of_week)
        fields = ("".join(column.split()) for column in columns)  # "1, 2" is one field there
        return timing.CronTiming(" ".join(fields), str(row.timezone), "celery")
    if schedule.interval is not None:
        return _interval_timing(schedule)
    if schedule.clocked is not None:
        return timing.MomentTiming(schedule.clocked.clocked_time)
    if schedule.solar is not None:
        row = schedule.solar
        return timing.SolarTiming(row.event, float(row.latitude), float(row.longitude))
    return timing.NoTiming()


def _own_timing(schedule: Schedule) -> timing.Unbounded:
    if not schedule.cron:
        return timing.NoTiming()
    zone = schedule.timezone or settings.TIME_ZONE
    return timing.from_cron_text(
        schedule.cron,
        zone,
        schedule.dialect,
        gap=schedule.gap,
        repeat=schedule.repeat,
        seed=schedule.name,  # kept only where the expression leaves something open
    )


def _interval_timing(schedule: Schedule) -> timing.IntervalTiming:
    """Anchored at its start time, which is its first instant, or else at the moment it came to be."""
    every = timedelta(**{schedule.interval.period: schedule.interval.every})
    started = schedule.start_time is not None
    anchor = schedule.start_time if started else schedule.anchor_at
    return timing.IntervalTiming(every, anchor, include_anchor=started)


def definition_of(schedule: Schedule) -> Definition:
    """What the row, its parent, its timing and its policy say together.

    Raises InvalidSchedule where they cannot be used.
    """
    _check_arguments(schedule)
    policy = schedule.retry_policy
    definition = Definition(
        name=schedule.name,
        kind=Kind(schedule.kind),
        task=schedule.task,
        args=schedule.args or "[]",
        kwargs=schedule.kwargs or "{}",
        headers=schedule.headers or "{}",
        command=schedule.command,
        stdin=schedule.stdin,
        environment=tuple((name, value) for name, value in schedule.environment),
        working_directory=schedule.working_directory,
        run_as=schedule.run_as,
        shell=schedule.shell,
        background=Background(schedule.background),
        queue=schedule.queue or "",
        exchange=schedule.exchange or "",
        routing_key=schedule.routing_key or "",
        priority=schedule.priority,
        timeout=schedule.timeout,
        kill_grace=schedule.kill_grace,
        memory_limit=schedule.memory_limit,
        cpu_limit=schedule.cpu_limit,
        file_size_limit=schedule.file_size_limit,
        overlap=Overlap(schedule.overlap),
        catch_up=CatchUp(schedule.catch_up),
        catch_up_window=schedule.catch_up_window,
        start_deadline=schedule.expire_seconds,
        on_worker_lost=OnWorkerLost(schedule.on_worker_lost),
        mode=Mode(schedule.mode),
        delivery=Delivery(schedule.delivery),
        one_off=schedule.one_off,
        enabled=schedule.enabled and not schedule.is_deleted,
        paused_until=schedule.paused_until.astimezone(UTC).isoformat() if schedule.paused_until else "",
        timing=timing.to_dict(timing_of(schedule)),
        retry=policy.value if policy else RetryPolicy(),
    )
    if problem := delivery.problem(definition):
        raise InvalidSchedule(problem)
    return definition


def _check_arguments(schedule: Schedule) -> None:
    for field, kind in (("args", list), ("kwargs", dict), ("headers", dict)):
        text = getattr(schedule, field) or ("[]" if kind is list else "{}")
        try:
            right = isinstance(json.loads(text), kind)
        except ValueError:
            right = False
        if not right:
            word = "list" if kind is list else "object"
            raise InvalidSchedule(f"{field} is not a JSON {word}: {text[:80]}")


def apply(schedules: Sequence[Schedule], *, by: str, note: str = "", now: datetime) -> list[Schedule]:
    """Writes revisions, next due instants and fingerprints for rows as they stand in the database.

    The rows are locked, and saved but for these columns. Returns those whose definition changed. A
    row that cannot be used is never due and says why in `timing_error`; a revision says since when.
    """
    judged = [(schedule, *_judge(schedule)) for schedule in schedules]
    changes = [(s, d, note) for s, d, _ in judged if d and _differs(s, d)]
    changes += [(s, off, f"{SET_ASIDE}{error}"[:255]) for s, d, error in judged if not d and (off := _off(s))]
    fresh = _write_revisions(changes, by, now)
    keys = source_keys([schedule.pk for schedule in schedules])
    rows = []
    for schedule, definition, error in judged:
        changed = _next_run_changes(schedule, definition)
        if changed:
            schedule.next_run_at = (
                first_due(definition, now, before=_before(schedule)) if definition else None
            )
        schedule.revision = fresh.get(schedule.pk, schedule.revision)
        schedule.timing_error = error
        schedule.source_key = keys[schedule.pk]
        rows.append(
            {
                "pk": schedule.pk,
                "revision_id": schedule.revision.pk if schedule.revision else None,
                "next_run_at": schedule.next_run_at,
                "timing_error": error,
                "source_key": schedule.source_key,
            }
        )
    bulk.update(Schedule, rows, using=Schedule.objects.db)
    return [schedule for schedule, definition, _ in judged if definition and schedule.pk in fresh]


def _judge(schedule: Schedule) -> tuple[Definition | None, str]:
    try:
        definition = definition_of(schedule)
        json.dumps(definition.to_dict(), allow_nan=False)  # no database keeps an infinity in JSON
        return definition, ""
    except BeatkeeperError as error:
        return None, str(error)
    except Exception as error:  # one bad row never stops the others, whatever somebody stored in it
        return None, f"{type(error).__name__}: {error}"


def _differs(schedule: Schedule, definition: Definition) -> bool:
    return schedule.revision is None or schedule.revision.digest != definition.digest


def _off(schedule: Schedule) -> Definition | None:
    """The definition of a row that is set aside: the last one that could be used, never due."""
    before = _before(schedule)
    return replace(before, enabled=False) if before is not None and before.enabled else None


def _next_run_changes(schedule: Schedule, definition: Definition | None) -> bool:
    before = _before(schedule)
    return (
        definition is None or before is None or bool(schedule.timing_error) or before.when != definition.when
    )


def _before(schedule: Schedule) -> Definition | None:
    """The definition in force so far; None where there is none, or none that can be read."""
    try:
        return Definition.from_dict(schedule.revision.definition) if schedule.revision else None
    except (LookupError, TypeError, ValueError):
        return None


def first_due(definition: Definition, now: datetime, *, before: Definition | None) -> datetime | None:
    """The first instant strictly after `now`; a moment that is past when it is set fires once.

    A paused schedule is next due at the first instant from the end of its pause on.
    """
    when = timing.from_dict(definition.timing)
    if not definition.enabled:
        return None
    if definition.paused_until:
        resume = datetime.fromisoformat(definition.paused_until)
        if resume > now:
            return when.next_after(resume - timedelta(microseconds=1))
    is_new = before is None or before.timing != definition.timing
    if is_new and isinstance(when, timing.MomentTiming):
        return when.at
    if is_new and isinstance(when, timing.WindowTiming) and isinstance(when.timing, timing.MomentTiming):
        return when.next_after(min(now, when.timing.at - timedelta(microseconds=1)))
    return when.next_after(now)


def _write_revisions(
    changes: Sequence[tuple[Schedule, Definition, str]], by: str, now: datetime
) -> dict[int, Revision]:
    rows = [
        Revision(
            schedule=schedule,
            number=schedule.revision.number + 1 if schedule.revision else 1,
            definition=definition.to_dict(),
            digest=definition.digest,
            changed_by=by,
            changed_at=now,
            note=note,
        )
        for schedule, definition, note in changes
    ]
    return {row.schedule_id: row for row in Revision.objects.bulk_create(rows) if row.schedule_id}
