"""What operators do to runs: start, run again, cancel, retry now. Called by admin, commands and tasks.

Nothing is sent here: the rows are written, and beat rings the doorbells within a second.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from schedules import events
from schedules.errors import NotPossible
from schedules.models import Boot, Run, Schedule
from schedules.occurrences import run_columns
from schedules.querysets import database_now
from schedules.rules.admission import SHADOW
from schedules.rules.definition import Definition, Mode
from schedules.rules.states import Reason, State, Trigger

CANCEL_TRIES = 5
"""A run may start, or fail and wait for its retry, between two looks at it."""


def run_now(schedule: Schedule, *, by: str) -> Run:
    """A manual run of the current revision. Raises NotPossible where the schedule never was usable.

    A shadow runs too: a person asked for it, and to try the command is what a shadow is for.
    """
    with transaction.atomic():
        locked = Schedule.objects.lock([schedule.pk])[0]
        if locked.revision is None:
            raise NotPossible(f'Schedule "{locked.name}" cannot run: {locked.timing_error}')
        definition = Definition.from_dict(locked.revision.definition)
        return _open(run_columns(locked, definition, database_now()), Trigger.MANUAL, by)


def run_again(run: Run, *, by: str) -> Run:
    """A new run of what `run` ran, by the same revision. The old one stays as it is."""
    if run.revision is None:
        raise NotPossible(f"Run {run.pk} cannot run again: its definition has been deleted.")
    if not run.is_final:
        raise NotPossible(f"Run {run.pk} is not over yet ({run.label}). Cancel it first, or wait.")
    definition = Definition.from_dict(run.revision.definition)
    with transaction.atomic():
        # Locked: retention may be about to delete it, and a run cannot name one that is gone.
        if not Run.objects.select_for_update(no_key=True).filter(pk=run.pk).values_list("pk"):
            raise NotPossible(f"Run {run.pk} cannot run again: it was deleted a moment ago, being old.")
        now = database_now()
        columns = {
            "schedule_id": run.schedule_id,
            "revision_id": run.revision_id,
            "rerun_of_id": run.pk,
            "concurrency_key": run.concurrency_key,
        }
        return _open(_columns(definition, now) | columns, Trigger.RERUN, by)


def _columns(definition: Definition, now: datetime) -> dict[str, Any]:
    return run_columns(Schedule(), definition, now)


def _open(columns: dict[str, Any], trigger: Trigger, by: str) -> Run:
    return Run.objects.create(**columns | {"trigger": trigger, "triggered_by": by})


def cancel(run: Run, *, by: str) -> str:
    """Ends a run. Returns what happened, as a sentence. Raises NotPossible where it is over already."""
    mine = Run.objects.filter(pk=run.pk)
    for _ in range(CANCEL_TRIES):
        if mine.cancel_waiting(reason=Reason.CANCELLED_BY_USER, detail=f"Cancelled by {by}."):
            return f"Run {run.pk} was cancelled before it started."
        if mine.request_cancel(detail=f"{by} asked to cancel it."):
            return f"Run {run.pk} is being ended by its worker."
        run.refresh_from_db()
        if run.state == State.RUNNING and run.cancel_requested:
            return f"Run {run.pk} is being ended already."
        if run.is_final:
            break
    raise NotPossible(f"Run {run.pk} is over already ({run.label}).")


def retry_now(run: Run) -> str:
    """A waiting retry starts at once. Raises NotPossible where none is waiting."""
    if not run.is_retrying or not Run.objects.hasten(run.pk):
        raise NotPossible(f"Run {run.pk} is not waiting for a retry ({run.label}).")
    return f"Attempt {run.attempt + 1} of run {run.pk} starts now."


def note_boot(*, host: str, boot_id: str, booted_at: datetime, queues: list[str]) -> int:
    """Starts the `@reboot` schedules of these queues, once per boot of `host`. Returns the number of runs.

    A shadow starts nothing: its run is recorded as skipped.
    A schedule that came to be after the boot waits for the next one, as it does under cron.
    """
    with transaction.atomic():
        now = database_now()
        fresh = [
            queue
            for queue in queues
            if Boot.objects.first_sight(host=host, boot_id=boot_id, queue=queue, now=now)
        ]
        rows = Schedule.objects.live().filter(cron="@reboot", enabled=True, anchor_at__lte=booted_at)
        found = [_boot_run(row, now) for row in rows.select_related("revision") if _starts(row, now)]
        return len(Run.objects.open([columns for columns in found if columns and columns["queue"] in fresh]))


def _starts(schedule: Schedule, now: datetime) -> bool:
    return schedule.revision is not None and not schedule.is_paused(now) and schedule.has_own_timing


def _boot_run(schedule: Schedule, now: datetime) -> dict[str, Any] | None:
    """None where nobody here can read what it is to run: the others start all the same."""
    assert schedule.revision is not None
    try:
        definition = Definition.from_dict(schedule.revision.definition)
        columns = run_columns(schedule, definition, now) | {"trigger": Trigger.SCHEDULE}
    except (LookupError, TypeError, ValueError) as error:
        events.part_failed(f"@reboot of {schedule.name!r}", error)
        return None
    if definition.mode == Mode.SHADOW:
        skipped = {"state": State.SKIPPED, "reason": Reason.SHADOW, "detail": SHADOW, "finished_at": now}
        return columns | skipped
    return columns
