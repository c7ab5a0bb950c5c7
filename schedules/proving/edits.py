"""Who made a schedule differ from its crontab line: its revisions tell. Reads only. Called by `proving`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

from schedules.models import Revision, Schedule
from schedules.proving.lines import Line
from schedules.rules.equivalence.causes import Cause, parts_of


class Edits:
    """The revisions of schedules. One query."""

    def __init__(self, pks: Collection[int]) -> None:
        rows = Revision.objects.filter(schedule__in=pks).order_by("schedule", "number")
        self._revisions = {pk: list(group) for pk, group in groupby(rows, key=lambda row: row.schedule_id)}

    def author(self, line: Line, cause: Cause) -> str:
        """Where a later revision than the first gave the part its value: ": since ... by ..."; else ""."""
        revisions = self._revisions.get(line.schedule.pk, []) if line.schedule and cause.part else []
        if not revisions:
            return ""
        made = _maker(revisions, cause.part)
        return "" if made is revisions[0] else f": since {_by(made)} (revision {made.number})"


class Deletions:
    """Schedules that were deleted and whose lines are still there. One query."""

    def __init__(self, lines: Sequence[Line]) -> None:
        sources = {line.file.source for line in lines}
        rows = Schedule.objects.filter(source__in=sources, deleted_at__isnull=False).select_related(
            "revision"
        )
        self._deleted = {(row.source, row.source_text): row for row in rows.order_by("deleted_at")}

    def author(self, line: Line, cause: Cause) -> str:
        row = self._deleted.get((line.file.source, line.job.raw)) if line.job else None
        if row is None or row.revision is None:
            return ""
        name = row.name.partition("~deleted~")[0]
        return f': its schedule "{name}" was deleted {_by(row.revision)}'


def _maker(revisions: Sequence[Revision], part: str) -> Revision:
    """The first of the newest revisions that agree in that part."""
    value = parts_of(revisions[-1].definition).get(part)
    made = revisions[-1]
    for revision in reversed(revisions):
        if parts_of(revision.definition).get(part) != value:
            break
        made = revision
    return made


def _by(revision: Revision) -> str:
    return f"{revision.changed_at:%Y-%m-%d %H:%M} UTC by {revision.changed_by or 'somebody unknown'}"
