"""`manage.py list_runs`: the latest runs, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db.models import Q, QuerySet

from schedules import catalog
from schedules.errors import UnknownSchedule
from schedules.management.output import local, table
from schedules.management.runs_text import duration
from schedules.management.script import ScriptCommand, moment, usage_error
from schedules.management.shapes import RETRYING, run_shape, state_of_run
from schedules.models import Run, Schedule
from schedules.models.schedule import DELETED_MARK
from schedules.querysets import database_now
from schedules.rules.states import WAITING, State

MOST = 100_000
"""Runs that one list holds in memory."""

WINDOW = 20_000


class Command(ScriptCommand):
    help = "List runs, newest first."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--schedule", metavar="NAME", default="", help="only runs of this schedule")
        parser.add_argument(
            "--state",
            choices=[*(state.value for state in State), RETRYING],
            default="",
            help="only runs in this state",
        )
        parser.add_argument(
            "--since",
            metavar="T",
            default="",
            help="only runs due since a time, or since a length ago such as 2h, 3d",
        )
        parser.add_argument(
            "--limit",
            metavar="N",
            type=int,
            default=50,
            help=f"at most so many (default 50; 0: as many as can be, {MOST:,})",
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["limit"] < 0:
            raise usage_error(f"--limit is negative. Give a number of runs, or 0 for {MOST:,}.")
        limit = min(options["limit"] or MOST, MOST)
        runs = _in_state(_of_schedule(options["schedule"]), options["state"]).order_by("-id")
        since = None
        if options["since"]:
            since = moment(options["since"], now=database_now(), sign=-1, option="--since")
            runs = runs.filter(scheduled_for__gte=since)
        by_window = since is not None and not options["schedule"]
        found = _newest_since(runs, since, limit) if by_window and since else list(runs[:limit])
        if len(found) == MOST:
            self.remark(
                f"Only the newest {MOST:,} are listed. Narrow the choice: --schedule, --state, --since"
            )
        self.show(options, [run_shape(run) for run in found], _text(found, self.width()))


def _of_schedule(name: str) -> QuerySet[Run]:
    """Runs of the live schedule of that name, or of one that is gone. Raises UnknownSchedule."""
    if not name:
        return Run.objects.all()
    try:
        return Run.objects.filter(schedule=catalog.find(name))
    except UnknownSchedule:
        deleted = Schedule.objects.filter(
            deleted_at__isnull=False, name__startswith=f"{name[:160]}{DELETED_MARK}"
        )
        keys = list(deleted.values_list("pk", flat=True))
        kept = Run.objects.filter(Q(schedule__in=keys) | Q(schedule=None, name=name))
        if kept.exists():
            return kept
        raise


def _newest_since(runs: QuerySet[Run], since: datetime, limit: int) -> list[Run]:
    """In windows of keys, until one begins before `since`: no index is ordered by the due instant alone."""
    found: list[Run] = []
    edge = Q()
    while len(found) < limit:
        bounds = Run.objects.filter(edge).order_by("-id").values_list("pk", "created_at")
        wall = next(iter(bounds[WINDOW - 1 : WINDOW]), None)
        part = runs.filter(edge, pk__gte=wall[0]) if wall else runs.filter(edge)
        found += part[: limit - len(found)]
        if wall is None or wall[1] < since:
            break
        edge = Q(pk__lt=wall[0])
    return found


def _in_state(runs: QuerySet[Run], state: str) -> QuerySet[Run]:
    if not state:
        return runs
    if state == RETRYING:
        return runs.filter(state__in=WAITING, attempt__gt=0)
    return runs.filter(state=state, attempt=0) if state in WAITING else runs.filter(state=state)


def _text(runs: list[Run], width: int | None) -> str:
    if not runs:
        return "No runs."
    head = (
        "ID",
        "SCHEDULE",
        "STATE",
        "TRIGGER",
        f"DUE ({settings.TIME_ZONE})",
        "STARTED",
        "TOOK",
        "ATTEMPTS",
        "REASON",
    )
    return table(head, [_cells(run) for run in runs], width=width)


def _cells(run: Run) -> tuple[object, ...]:
    return (
        *(run.pk, run.name, state_of_run(run), run.trigger),
        *(local(run.scheduled_for), local(run.started_at), duration(run.duration)),
        *(f"{run.attempt}/{run.max_attempts}", _reason(run)),
    )


def _reason(run: Run) -> str:
    if run.missed_count < 2:
        return run.detail
    return f"{run.detail} {run.missed_count:,} instants, until {local(run.missed_until)}.".lstrip()
