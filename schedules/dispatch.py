"""Due schedules become runs, one batch a transaction. Called by `beat`; `occurrences` decides and writes.

Any number of beats may dispatch at once: a row that another one holds is passed by.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from schedules import conf, events, occurrences
from schedules.models import Schedule
from schedules.rules.states import State


def dispatch_due(now: datetime, *, by: str = "beat") -> int:
    """Accounts for what is due at `now`, at most one batch. Returns the number of schedules it found due.

    `by` names the beat, for the record.
    """
    with transaction.atomic():
        schedules = Schedule.objects.lock_due(now, conf.current().batch)
        settled = occurrences.settle(schedules, now=now, by=by)
    if settled.runs:
        skipped = sum(row["state"] == State.SKIPPED for row in settled.runs)
        events.dispatched(schedules=len(schedules), runs=len(settled.runs) - skipped, skipped=skipped)
    return len(schedules)
