"""Crontabs become schedules, in one transaction, or nothing happens. Called by the command `import_crontab`.

Files are read in `sources` and `reading`; what is to happen to which
schedule is decided in `planning`. Each imported file is kept byte for byte, so that an export gives it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django_celery_beat.models import PeriodicTask

from schedules import catalog, events, occurrences, revisions
from schedules.cutting_over.plan import read_as_cron_had_them
from schedules.errors import NotPossible
from schedules.importing.planning import Fate, Item, Options, Plan, make_plan
from schedules.importing.reading import parse
from schedules.importing.values import Source, Sources
from schedules.models import CrontabFile, Schedule
from schedules.models.schedule import reserved_interval
from schedules.querysets import database_now
from schedules.rules import timing
from schedules.sql import bulk

__all__ = ["Fate", "Item", "Options", "Report", "check", "import_crontabs"]

BATCH = 500
NOTE = "imported from a crontab"
_LINE_COLUMNS = (
    *("cron", "dialect", "timezone", "command", "stdin", "environment", "run_as"),
    *("mail_to", "mail_from"),
)
_PLACE_COLUMNS = ("source_line", "source_text")
_FILE_COLUMNS = (
    *("path", "format", "account", "dialect", "timezone", "content", "imported_at", "imported_by"),
)

Progress = Callable[[int, int], None]
"""Called with how many schedules are written, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The plan, and what came of it. With `is_imported` False nothing was written."""

    plan: Plan
    is_dry_run: bool
    is_imported: bool

    def of(self, fate: Fate) -> list[Item]:
        return [item for item in self.plan.items if item.fate == fate]


def check(options: Options) -> None:
    """Raises InvalidSchedule where no schedule could be used with these options: zone, queue."""
    zone = options.timezone or settings.TIME_ZONE
    timing.CronTiming("* * * * *", zone)
    catalog.check(
        Schedule(name="import", cron="* * * * *", timezone=zone, command="true", queue=options.queue or None)
    )


def import_crontabs(
    sources: Sources,
    options: Options,
    *,
    by: str,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Report:
    """Imports all of it, or nothing where anything is refused (unless `options.partial`).

    Raises NotPossible where somebody else created schedules of the same names meanwhile.
    """
    read_as_cron_had_them(sources)
    parsed = parse(sources, no_anacron=options.no_anacron)
    try:
        with transaction.atomic():
            plan = make_plan(sources, parsed, options)
            writes = not dry_run and (options.partial or not plan.refused)
            if writes:
                _write(plan.items, by=by, progress=progress)
                _keep_files(plan.files, by=by)
            else:
                _foretell(plan.items, database_now())
    except IntegrityError as error:
        if "name" not in str(error):  # only names are chosen here, from those that were free
            raise
        raise NotPossible(
            "Nothing was imported: another import or edit created schedules of the same names at the "
            "same moment. Run the import again."
        ) from error
    return Report(plan=plan, is_dry_run=dry_run, is_imported=writes)


def _write(items: Sequence[Item], *, by: str, progress: Progress) -> None:
    created = [item for item in items if item.fate == Fate.CREATED]
    changed = [item for item in items if item.fate == Fate.CHANGED]
    moved = [item for item in items if item.fate == Fate.UNCHANGED and item.is_moved]
    done, total = 0, len(created) + len(changed)
    interval = reserved_interval() if created else None
    for batch in _batches(created):
        for item in batch:
            item.schedule.interval = interval  # once, not once for each
        rows = catalog.create_many([item.schedule for item in batch], by=by, note=NOTE)
        for item, row in zip(batch, rows, strict=True):
            item.next_run_at = row.next_run_at
        done += len(batch)
        progress(done, total)
    for batch in _batches(changed):
        _change(batch, by=by)
        done += len(batch)
        progress(done, total)
    _move(moved)
    _keep_next_run(items)


def _keep_files(files: Sequence[tuple[Source, str]], *, by: str) -> None:
    """Also those without a job, and those of which a part was refused. One statement."""
    now = database_now()
    kept = [
        CrontabFile(
            source=source.label,
            path=source.path[: CrontabFile._meta.get_field("path").max_length],
            format=source.format.value,
            account=source.account or "",
            dialect=source.daemon.value,
            timezone=zone,
            content=source.text,
            imported_at=now,
            imported_by=by,
        )
        for source, zone in files
    ]
    CrontabFile.objects.bulk_create(
        kept, update_conflicts=True, unique_fields=["source"], update_fields=_FILE_COLUMNS
    )


def _change(items: Sequence[Item], *, by: str) -> None:
    """What is due is settled under the old revision first; nothing fires because of the change."""
    by_pk = {item.schedule.pk: item for item in items}
    rows, now = occurrences.lock_settled(list(by_pk), by=by)
    _take_back_timing(rows)
    for row in rows:
        for column, value in (by_pk[row.pk].values | _place(by_pk[row.pk])).items():
            setattr(row, column, value)
    bulk.update(
        Schedule,
        [
            {"pk": row.pk} | {name: getattr(row, name) for name in _LINE_COLUMNS + _PLACE_COLUMNS}
            for row in rows
        ],
        using=Schedule.objects.db,
    )
    for row in revisions.apply(rows, by=by, note=NOTE, now=now):
        events.schedule_changed(row, by=by)
    for row in rows:
        by_pk[row.pk].next_run_at = row.next_run_at


def _take_back_timing(rows: Sequence[Schedule]) -> None:
    """Somebody gave such a schedule an interval or another timing: its line decides again."""
    strangers = [row for row in rows if not row.has_own_timing]
    if not strangers:
        return
    own = {"interval": reserved_interval(), "crontab": None, "clocked": None, "solar": None}
    for row in strangers:
        for column, value in own.items():
            setattr(row, column, value)
    PeriodicTask.objects.filter(pk__in=[row.pk for row in strangers]).update(**own)


def _move(items: Sequence[Item]) -> None:
    """Lines that only stand elsewhere: no revision, because nothing that runs has changed."""
    rows = [{"pk": item.schedule.pk} | _place(item) for item in items]
    bulk.update(Schedule, rows, using=Schedule.objects.db)


def _place(item: Item) -> dict[str, Any]:
    assert item.job is not None
    return {"source_line": item.job.line, "source_text": item.job.raw}


def _keep_next_run(items: Sequence[Item]) -> None:
    for item in items:
        if item.fate in (Fate.UNCHANGED, Fate.GONE):
            item.next_run_at = item.schedule.next_run_at


def _foretell(items: Sequence[Item], now: datetime) -> None:
    """The next run that each would have; each distinct timing is computed once."""
    _keep_next_run(items)
    seen: dict[timing.Unbounded, datetime | None] = {}
    for item in items:
        if item.fate not in (Fate.CREATED, Fate.CHANGED) or not item.schedule.enabled:
            continue
        when = _timing_of(item)
        if when not in seen:
            seen[when] = when.next_after(now)
        if not item.schedule.is_paused(now):
            item.next_run_at = seen[when]


def _timing_of(item: Item) -> timing.Unbounded:
    row = item.schedule
    return timing.from_cron_text(
        item.values["cron"],
        item.values.get("timezone") or row.timezone or settings.TIME_ZONE,
        item.values["dialect"],
        gap=row.gap,
        repeat=row.repeat,
        seed=row.name,
    )


def _batches(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]
