"""`manage.py pause_schedule`: nothing of them falls due until a moment, or until somebody resumes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.management.output import counted, local, printable
from schedules.management.script import ScriptCommand, author, moment, usage_error
from schedules.management.selection import add_target, names_many, targets
from schedules.management.shapes import read_again, schedule_shape
from schedules.querysets import database_now

LONGEST_NOTE = 240


class Command(ScriptCommand):
    help = "Pause schedules. Runs that exist go on; what falls into the pause is not made up for."

    def arguments(self, parser: CommandParser) -> None:
        add_target(parser)
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
        chosen = targets(options)
        catalog.pause([row.pk for row in chosen], by=author(), until=until, note=options["note"])
        shapes = [schedule_shape(row, now=now) for row in read_again(chosen)]
        end = f"until {local(until)}" if until else "until somebody resumes"
        if names_many(options):
            self.show(options, shapes, f"{counted(len(chosen), 'schedule')} paused {end}.")
        else:
            name = printable(chosen[0].name)
            text = f"{name} is paused {end}. To resume it: manage.py resume_schedule {name}"
            self.show(options, shapes[0], text)
