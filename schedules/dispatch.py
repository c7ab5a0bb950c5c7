"""Due schedules become runs, one batch a transaction. Called by `beat`; `occurrences` decides and writes.

Any number of beats may dispatch at once: a row that another one holds is passed by.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from schedules import conf, events, occurrences
from schedules.messages.outbox import Outbox
from schedules.models import Schedule
from schedules.occurrences import Ringing
from schedules.rules.states import State


def dispatch_due(now: datetime, *, by: str = "beat", outbox: Outbox | None = None) -> int:
    """Accounts for what is due at `now`, at most one batch. Returns the number of schedules it found due.

    `by` names the beat, for the record. Where `outbox` has room, the runs are opened as queued and left
    in it, to be rung at once; else they are pending, for `publish` to find.
    """
    ringing = _ringing(now, outbox) if outbox is not None and outbox.has_room else None
    with transaction.atomic():
        rows = Schedule.objects.lock_due(now, conf.current().batch)
        settled = occurrences.settle(rows, now=now, by=by, ringing=ringing)
    if outbox is not None and settled.bells:
        outbox.put(settled.bells)
    if settled.runs:
        skipped = sum(row["state"] == State.SKIPPED for row in settled.runs)
        events.dispatched(schedules=len(rows), runs=len(settled.runs) - skipped, skipped=skipped)
    return len(rows)


def _ringing(now: datetime, outbox: Outbox) -> Ringing:
    values = conf.current()
    return Ringing(now + timedelta(seconds=values.redispatch_seconds[0]), outbox.full(values.doorbells))
