"""Runs, attempts and schedules as the dictionaries that `--json` prints. Documented in docs/cli.md."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from schedules.errors import InvalidSchedule
from schedules.management.output import iso
from schedules.models import Attempt, Run, Schedule
from schedules.models.schedule import FOREVER
from schedules.revisions import timing_of
from schedules.rules import timing, wording

RETRYING = "retrying"
"""The state that people see of a run that waits for its next attempt."""


def state_of_run(run: Run) -> str:
    return RETRYING if run.is_retrying else str(run.state)


def run_shape(run: Run) -> dict[str, Any]:
    return {
        "id": run.pk,
        "schedule": run.name,
        "state": state_of_run(run),
        "reason": run.reason,
        "detail": run.detail,
        "trigger": run.trigger,
        "triggered_by": run.triggered_by,
        "scheduled_for": iso(run.scheduled_for),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "attempts": run.attempt,
        "max_attempts": run.max_attempts,
        "next_attempt_at": iso(run.available_at) if run.is_retrying else None,
        "missed_count": run.missed_count,
        "queue": run.queue,
    }


def run_with_attempts(run: Run) -> dict[str, Any]:
    """The same, with the attempts themselves. Prefetch attempts and their output."""
    return {**run_shape(run), "attempts": [attempt_shape(attempt) for attempt in run.attempts.all()]}


def attempt_shape(attempt: Attempt) -> dict[str, Any]:
    output = getattr(attempt, "output", None)
    return {
        "number": attempt.number,
        "outcome": attempt.outcome or None,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "error": attempt.error,
        "decision": attempt.decision,
        "decision_text": attempt.decision_text,
        "started_at": iso(attempt.started_at),
        "finished_at": iso(attempt.finished_at),
        "worker": attempt.worker_name,
        "token": str(attempt.token),
        "notes": attempt.notes,
        "result": attempt.result,
        "output": output.text if output else "",
        "output_bytes_dropped": output.bytes_dropped if output else 0,
    }


def with_last_run(schedules: QuerySet[Schedule]) -> QuerySet[Schedule]:
    """Adds `last_run_id` and `last_state`, and what the other columns need, in the same query."""
    latest = Run.objects.filter(schedule=OuterRef("pk")).order_by("-id")
    related = ("retry_policy", "interval", "crontab", "clocked", "solar")
    rows: QuerySet[Schedule] = schedules.select_related(*related).annotate(
        last_run_id=Subquery(latest.values("pk")[:1]), last_state=Subquery(latest.values("state")[:1])
    )
    return rows


def read_again(schedules: Sequence[Schedule]) -> list[Schedule]:
    """The same schedules as they are now, by name, as `schedule_shape` wants them."""
    pks = [schedule.pk for schedule in schedules]
    return list(with_last_run(Schedule.objects.filter(pk__in=pks)).order_by("name"))


def schedule_shape(schedule: Schedule, *, now: datetime) -> dict[str, Any]:
    """One row of `with_last_run`."""
    return {
        "name": schedule.name,
        "state": state_of_schedule(schedule, now=now),
        "mode": schedule.mode,
        "kind": schedule.kind,
        "expression": schedule.cron,
        "timing": timing_in_words(schedule),
        "timezone": zone_of(schedule),
        "next_run": iso(schedule.next_run_at),
        "last_run": getattr(schedule, "last_run_id", None),
        "last_state": getattr(schedule, "last_state", None),
        "command": schedule.command,
        "task": schedule.task if schedule.kind == "task" else "",
        "run_as": schedule.run_as,
        "queue": schedule.queue or "",
        "retry_policy": schedule.retry_policy.name if schedule.retry_policy else None,
        "tags": schedule.tags.split(),
        "paused_until": _end_of_pause(schedule, now),
        "pause_note": schedule.pause_note,
        "error": schedule.timing_error,
        "source": schedule.source,
        "line": schedule.source_line,
    }


def state_of_schedule(schedule: Schedule, *, now: datetime) -> str:
    """ "unusable", "disabled", "paused" or "enabled", the first that is true."""
    if schedule.timing_error:
        return "unusable"
    if not schedule.enabled:
        return "disabled"
    return "paused" if schedule.is_paused(now) else "enabled"


def timing_in_words(schedule: Schedule) -> str:
    try:
        return wording.describe(timing_of(schedule))
    except InvalidSchedule as error:
        return f"cannot be used: {error}"


def zone_of(schedule: Schedule) -> str:
    """The zone of its timing; "" where it has none, such as an interval."""
    try:
        found = timing_of(schedule)
    except InvalidSchedule:
        return schedule.timezone
    inner = found.timing if isinstance(found, timing.WindowTiming) else found
    return inner.timezone if isinstance(inner, timing.CronTiming) else schedule.timezone


def _end_of_pause(schedule: Schedule, now: datetime) -> str | None:
    """The moment, "forever" until somebody resumes it, None where it is not paused."""
    if not schedule.is_paused(now):
        return None
    return "forever" if schedule.paused_until == FOREVER else iso(schedule.paused_until)
