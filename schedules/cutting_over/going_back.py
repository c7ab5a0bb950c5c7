"""What cron makes of a line that goes back: its next start, and what the schedule says by now. Reads only.

A line goes back as cron had it, so an edit of its schedule since then is not in it. Called by
`flow`, and by the command `cut_over`, which shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from schedules.cutting_over.objections import differences
from schedules.cutting_over.plan import Move
from schedules.errors import InvalidSchedule
from schedules.models import CrontabFile, Schedule
from schedules.querysets import database_now
from schedules.rules import timing
from schedules.rules.crontab.lines import Job


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A schedule that says other things than the line: `what` are words such as "time", "command"."""

    name: str
    line: int
    what: tuple[str, ...]


def edits(found: Sequence[Move]) -> list[Edit]:
    """Of moves whose line goes back."""
    told = ((move, tuple(_edited(move.schedule, move.job))) for move in found)
    return [Edit(name=move.name, line=move.line, what=what) for move, what in told if what]


def _edited(row: Schedule | None, job: Job | None) -> Iterator[str]:
    if row is None or row.is_deleted or job is None:
        return
    yield from differences(row, job)
    if not row.enabled:
        yield "disabled"
    elif row.paused_until is not None:
        yield "paused"


@dataclass(frozen=True, kw_only=True)
class Start:
    """The next instant at which cron starts a line, None at boot or never, and the zone to show it in."""

    at: datetime | None
    timezone: str


def next_starts(found: Sequence[Move], source: str) -> dict[str, Start]:
    """By the names of the moves; from now on, as the line says it."""
    file = CrontabFile.objects.filter(source=source).only("timezone", "dialect").first()
    now = database_now()
    return {move.name: _next_start(move.job, move.schedule, file, now) for move in found if move.job}


def _next_start(job: Job, row: Schedule | None, file: CrontabFile | None, now: datetime) -> Start:
    """An import that kept no file leaves the schedule to say which zone cron's is."""
    zone = job.zone or (file.timezone if file else row.timezone if row else "") or settings.TIME_ZONE
    try:
        at = timing.from_cron_text(job.expression, zone, file.dialect if file else "cron").next_after(now)
    except InvalidSchedule:
        at = None
    return Start(at=at, timezone=zone)
