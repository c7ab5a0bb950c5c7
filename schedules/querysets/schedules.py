"""Locks of schedules: those that are due, for a beat; named ones, for an edit."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

from schedules.sql import due
from schedules.sql.due import DueRow

if TYPE_CHECKING:
    from schedules.models import Schedule


class ScheduleQuerySet(models.QuerySet["Schedule"]):
    def live(self) -> ScheduleQuerySet:
        return self.filter(deleted_at__isnull=True)

    def lock_due(self, now: datetime, limit: int) -> list[DueRow]:
        """Due rows that no other beat holds, oldest first, locked until the transaction ends.

        The parent is locked too: an edit through django-celery-beat waits or comes first.
        """
        return due.claim(using=self.db, now=now, limit=limit)

    def lock(self, pks: Collection[int]) -> list[Schedule]:
        """The rows with everything, locked in one order; waits for a beat or an editor that holds them.

        Locked first, read then: PostgreSQL looks again at a row that changed while we waited for it, but
        not at rows joined to it, so that a new revision or interval would seem not to be there.
        """
        mine = self.filter(pk__in=pks).order_by("pk")
        list(mine.only("name", "next_run_at").select_for_update(no_key=True, of=("self", "periodictask_ptr")))
        return list(
            mine.select_related("revision", "retry_policy", "interval", "crontab", "clocked", "solar")
        )

    def due_at(self, moment: datetime, limit: int) -> list[int]:
        """Revisions, by primary key, of what is next due at exactly `moment`."""
        rows = self.live().filter(next_run_at=moment, enabled=True, revision__isnull=False)
        return list(rows.values_list("revision_id", flat=True)[:limit])

    def soonest(self) -> tuple[datetime, datetime | None]:
        """The database's time, and when the next schedule is due, None where none ever is. One query."""
        return due.soonest(using=self.db)
