"""`manage.py list_runs`: the latest runs, newest first."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db.models import QuerySet

from schedules import catalog
from schedules.errors import UnknownSchedule
from schedules.management.output import local, table
from schedules.management.runs_text import duration
from schedules.management.script import ScriptCommand, moment, usage_error
from schedules.management.shapes import RETRYING, run_shape, state_of_run
from schedules.models import Run
from schedules.querysets import database_now
from schedules.rules.states import WAITING, State


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
            "--limit", metavar="N", type=int, default=50, help="at most so many (default 50; 0: all)"
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["limit"] < 0:
            raise usage_error("--limit is negative. Give a number of runs, or 0 for all.")
        runs = _in_state(_of_schedule(options["schedule"]), options["state"])
        if options["since"]:
            since = moment(options["since"], now=database_now(), sign=-1, option="--since")
            runs = runs.filter(scheduled_for__gte=since)
        found = list(runs.order_by("-id")[: options["limit"] or None])
        self.show(options, [run_shape(run) for run in found], _text(found, self.width()))


def _of_schedule(name: str) -> QuerySet[Run]:
    """Runs of the live schedule of that name, or of one that is gone. Raises UnknownSchedule."""
    if not name:
        return Run.objects.all()
    try:
        return Run.objects.filter(schedule=catalog.find(name))
    except UnknownSchedule:
        kept = Run.objects.filter(name=name)
        if kept.exists():
            return kept
        raise


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
        *(f"{run.attempt}/{run.max_attempts}", run.detail),
    )
