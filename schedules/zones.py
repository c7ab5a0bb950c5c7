"""A new time zone database: what is due next is worked out anew, once for the whole installation.

`next_run_at` is an instant, made from a rule and a zone by the data of the day. When those change, the
instants of schedules with a zone may lie elsewhere. Called by `beat`, at its start and once a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Coalesce, Greatest

from schedules import events, occurrences, revisions, zone_data
from schedules.models import Run, Schedule, ZoneData
from schedules.querysets import database_now
from schedules.rules import timing
from schedules.rules.definition import Definition
from schedules.rules.keeping import LEAST_DAYS
from schedules.rules.states import Trigger
from schedules.sql import bulk

BATCH = 500
AUTHOR = "time zone data"

LOOKBACK = timedelta(days=LEAST_DAYS)
"""No zone has ever moved its clocks by more than a day; and the rows of older instants may be deleted."""


class Recomputer:
    """One walk over the schedules with a zone, a batch a step. One per beat; several do no harm."""

    def __init__(self) -> None:
        self._after = 0
        self._changed = 0

    def step(self) -> bool:
        """Recomputes one batch where there is something to do. False: the walk is over, or was not needed.

        Data that are older than those of another host change nothing: in a rolling upgrade the newest win.
        """
        installed = zone_data.version()
        known = ZoneData.objects.order_by("-version").first()
        if known is None and installed:  # the first start: nobody knows what was used before
            _note(installed)
        if known is None or installed <= known.version:
            self._after = 0
            return False
        pks = list(_with_zones().filter(pk__gt=self._after).values_list("pk", flat=True)[:BATCH])
        if pks:
            self._changed += _recompute(pks)
            self._after = pks[-1]
            return True
        _note(installed)
        events.zones_recomputed(before=known.version, after=installed, schedules=self._changed)
        self._after = self._changed = 0
        return False


def _note(version: str) -> None:
    """Two beats at their first start may leave two rows, which then change together."""
    noted = {"version": version, "computed_at": database_now()}
    if not ZoneData.objects.update(**noted):
        ZoneData.objects.create(**noted)


def _with_zones() -> QuerySet[Schedule]:
    """Those whose next instant depends on a zone, or that were set aside: their zone may be known now."""
    has_zone = ~Q(cron="") | Q(crontab__isnull=False)
    due = Q(next_run_at__isnull=False) | ~Q(timing_error="")
    return Schedule.objects.live().filter(has_zone, due).order_by("pk")


def _recompute(pks: Sequence[int]) -> int:
    """Under the dispatch lock, and after what is due has been accounted for. Returns how many moved."""
    with transaction.atomic():
        rows, now = occurrences.lock_settled(pks, by=AUTHOR)
        accounted = _accounted_until([row.pk for row in rows])
        changes: list[dict[str, Any]] = []
        doubtful: list[Schedule] = []
        for row in rows:
            if row.timing_error or row.revision is None:
                doubtful.append(row)
            elif row.next_run_at is not None and row.enabled:
                try:
                    following = _next(row, now, accounted.get(row.pk))
                except Exception:  # such as a zone that is gone: `revisions` says so, and since when
                    doubtful.append(row)
                    continue
                if following != row.next_run_at:
                    changes.append({"pk": row.pk, "next_run_at": following, "timing_error": ""})
        bulk.update(Schedule, changes, using=Schedule.objects.db)
        revisions.apply(doubtful, by=AUTHOR, now=now)
    return len(changes)


def _next(row: Schedule, now: datetime, accounted: datetime | None) -> datetime | None:
    """The first instant, by the new data, that nobody has accounted for. It may lie in the past.

    Strictly after now would lose an instant that the new data move from later today to an hour ago.
    """
    assert row.revision is not None
    definition = Definition.from_dict(row.revision.definition)
    if definition.paused_until and datetime.fromisoformat(definition.paused_until) > now:
        return revisions.first_due(definition, now, before=definition)
    since = max(filter(None, [accounted, row.revision.changed_at, now - LOOKBACK]))
    if definition.paused_until:
        resumed = datetime.fromisoformat(definition.paused_until) - timedelta(microseconds=1)
        since = max(since, resumed)
    return timing.from_dict(definition.timing).next_after(min(since, now))


def _accounted_until(pks: Sequence[int]) -> dict[int, datetime]:
    """The last instant of each schedule that has its row."""
    latest = Max(Greatest("scheduled_for", Coalesce("missed_until", "scheduled_for")))
    runs = Run.objects.filter(schedule__in=pks, trigger__in=[Trigger.SCHEDULE, Trigger.CATCH_UP])
    return dict(runs.order_by().values_list("schedule").annotate(latest=latest))
