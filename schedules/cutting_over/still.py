"""Schedules that run instead of lines of a crontab, and what may not be made of them. Reads only.

The line of such a schedule is a comment, so cron does not run it; as a shadow the schedule does not
either. Called by whatever edits schedules, and by what writes crontabs. How lines are taken out and
put back is `flow`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection

from schedules.models import CutOver


def open_cut_overs(pks: Collection[int]) -> dict[int, CutOver]:
    """The open cut-over of each of these schedules that has one. One query."""
    rows = CutOver.objects.filter(schedule__in=pks, undone_at__isnull=True)
    return {row.schedule_id: row for row in rows.select_related("schedule").defer("text") if row.schedule_id}


def why_no_shadow(row: CutOver) -> str:
    """Sentences: why the schedule of an open cut-over may not be made a shadow, and what to do."""
    return (
        f"Its line was taken out of {row.path}, so as a shadow nobody would run it: neither cron nor "
        f"Beatkeeper. Put the line back, which makes it a shadow too: manage.py {command(row, undo=True)}"
    )


def command(row: CutOver, *, undo: bool) -> str:
    """What moves this schedule alone, for a shell."""
    name = row.schedule.name if row.schedule else row.name
    words = ["cut_over", *(["--undo"] if undo else []), row.path, "--name", name]
    return shlex.join(words)
