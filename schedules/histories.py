"""Reads revisions as the history that the rules understand. Called by `auditing` and `explaining`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from schedules.models import Revision
from schedules.rules import timing
from schedules.rules.history import History, Version
from schedules.sql.streamed import streamed


def histories_of(pks: Collection[int]) -> dict[int, History]:
    """By primary key of the schedule; those without a revision are not in it. One query."""
    rows = streamed(Revision.objects.filter(schedule__in=pks).order_by("schedule", "number"))
    return {
        pk: History([_version(row) for row in group])
        for pk, group in groupby(rows, key=lambda row: row.schedule_id)
        if pk is not None
    }


def _version(row: Revision) -> Version:
    version = Version(row.number, row.changed_at, row.changed_by, row.note, timing=None)
    try:
        paused = row.definition["paused_until"]
        return replace(
            version,
            timing=timing.from_dict(row.definition["timing"]),
            enabled=row.definition["enabled"],
            paused_until=datetime.fromisoformat(paused) if paused else None,
        )
    except Exception as error:  # a zone that is gone, a revision of a later version
        return replace(version, problem=f"{type(error).__name__}: {error}")
