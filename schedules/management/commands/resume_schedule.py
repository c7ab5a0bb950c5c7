"""`manage.py resume_schedule`: ends a pause, and enables what is disabled."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.management.output import counted, local, printable
from schedules.management.script import ScriptCommand, author
from schedules.management.selection import add_target, names_many, targets
from schedules.management.shapes import read_again, schedule_shape, zone_of
from schedules.models import Schedule
from schedules.querysets import database_now


class Command(ScriptCommand):
    help = "Resume paused or disabled schedules. What fell into the pause is not made up for."

    def arguments(self, parser: CommandParser) -> None:
        add_target(parser)

    def run(self, options: dict[str, Any]) -> None:
        chosen = targets(options)
        catalog.resume([row.pk for row in chosen], by=author())
        rows, now = read_again(chosen), database_now()
        shapes = [schedule_shape(row, now=now) for row in rows]
        if names_many(options):
            self.show(options, shapes, f"{counted(len(rows), 'schedule')} enabled.")
        else:
            self.show(options, shapes[0], f"{printable(rows[0].name)} is enabled. {_next_run(rows[0])}.")


def _next_run(schedule: Schedule) -> str:
    if schedule.next_run_at is None:
        return "It has no next run by the clock"
    zone = zone_of(schedule)
    return f"Next run: {local(schedule.next_run_at, zone)} {zone}".rstrip()
