"""`manage.py list_schedules`: every schedule with its state, timing and next run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules.management.output import local, table
from schedules.management.script import ScriptCommand
from schedules.management.shapes import schedule_shape, with_last_run
from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.definition import Mode

STATES = ("enabled", "disabled", "paused", "unusable")


class Command(ScriptCommand):
    help = "List schedules, in the order of their names."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tag", metavar="T", default="", help="only those with this tag")
        parser.add_argument(
            "--source",
            metavar="FILE",
            default="",
            help="only those imported from this file (as SOURCE shows it)",
        )
        parser.add_argument(
            "--mode", choices=[mode.value for mode in Mode], default="", help="live or shadow"
        )
        parser.add_argument("--state", choices=STATES, default="", help="only those in this state")

    def run(self, options: dict[str, Any]) -> None:
        now = database_now()
        rows = Schedule.objects.live().order_by("name")
        if options["source"]:
            rows = rows.filter(source=options["source"])
        if options["mode"]:
            rows = rows.filter(mode=options["mode"])
        chosen = {
            row.name: row
            for row in with_last_run(rows)
            if not options["tag"] or options["tag"] in row.tags.split()
        }
        shapes = [schedule_shape(row, now=now) for row in chosen.values()]
        if options["state"]:
            shapes = [shape for shape in shapes if shape["state"] == options["state"]]
        self.show(options, shapes, _text([(chosen[shape["name"]], shape) for shape in shapes], self.width()))


def _text(found: list[tuple[Schedule, dict[str, Any]]], width: int | None) -> str:
    if not found:
        return "No schedules."
    head = ("NAME", "STATE", "MODE", "TIME", "ZONE", "NEXT RUN", "LAST", "TAGS", "SOURCE", "COMMAND")
    return table(head, [_cells(row, shape) for row, shape in found], width=width)


def _cells(row: Schedule, shape: dict[str, Any]) -> tuple[str, ...]:
    return (
        *(shape["name"], shape["state"], "shadow" if row.mode == Mode.SHADOW else ""),
        *(shape["expression"] or shape["timing"], shape["timezone"]),
        *(local(row.next_run_at, shape["timezone"]), shape["last_state"] or "-", " ".join(shape["tags"])),
        *(shape["source"], shape["command"] or shape["task"]),
    )
