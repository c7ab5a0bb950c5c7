"""`manage.py pause_schedule`: nothing falls due until a moment, or until somebody resumes it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.management.output import local, printable
from schedules.management.script import ScriptCommand, author, moment, usage_error
from schedules.management.shapes import named, schedule_shape
from schedules.querysets import database_now

LONGEST_NOTE = 240


class Command(ScriptCommand):
    help = "Pause a schedule. Runs that exist go on; what falls into the pause is not made up for."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a schedule")
        parser.add_argument(
            "--until", metavar="T", default="", help="a time, or a length such as 2h (default: until resumed)"
        )
        parser.add_argument("--note", metavar="N", default="", help="why, for those who see it paused")

    def run(self, options: dict[str, Any]) -> None:
        now = database_now()
        until = moment(options["until"], now=now, sign=1, option="--until") if options["until"] else None
        if until is not None and until <= now:
            raise usage_error(f"--until {local(until)} is not in the future; it is {local(now)}.")
        if len(options["note"]) > LONGEST_NOTE:
            raise usage_error(f"--note has {len(options['note'])} characters; it may have {LONGEST_NOTE}.")
        schedule = catalog.find(options["name"])
        catalog.pause([schedule.pk], by=author(), until=until, note=options["note"])
        schedule = named(schedule.name)
        end = f"until {local(until)}" if until else "until somebody resumes it"
        name = printable(schedule.name)
        text = f"{name} is paused {end}. To resume it: manage.py resume_schedule {name}"
        self.show(options, schedule_shape(schedule, now=now), text)
