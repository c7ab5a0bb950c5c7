"""`manage.py resume_schedule`: ends a pause, and enables a schedule that is disabled."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.management.output import local, printable
from schedules.management.script import ScriptCommand, author
from schedules.management.shapes import named, schedule_shape, zone_of
from schedules.querysets import database_now


class Command(ScriptCommand):
    help = "Resume a paused or disabled schedule. What fell into the pause is not made up for."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a schedule")

    def run(self, options: dict[str, Any]) -> None:
        schedule = catalog.find(options["name"])
        catalog.resume([schedule.pk], by=author())
        schedule = named(schedule.name)
        zone = zone_of(schedule)
        next_run = (
            f"Next run: {local(schedule.next_run_at, zone)} {zone}".rstrip()
            if schedule.next_run_at
            else ("It has no next run by the clock")
        )
        self.show(
            options,
            schedule_shape(schedule, now=database_now()),
            f"{printable(schedule.name)} is enabled. {next_run}.",
        )
