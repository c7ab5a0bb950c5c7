"""`manage.py show_run`: one run with its attempts and what they printed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules.management.runs_text import run_text
from schedules.management.script import REFUSED, Error, ScriptCommand
from schedules.management.shapes import run_with_attempts
from schedules.models import Run

LARGEST_ID = 2**63 - 1


class Command(ScriptCommand):
    help = "Show a run with its attempts and their output."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", metavar="ID", type=int, help="the number of the run")

    def run(self, options: dict[str, Any]) -> None:
        number = options["id"]
        found = (
            Run.objects.prefetch_related("attempts__output").filter(pk=number)
            if 0 < number <= LARGEST_ID
            else ()
        )
        run = next(iter(found), None)
        if run is None:
            raise Error(f"There is no run {number}. The latest ones: manage.py list_runs", returncode=REFUSED)
        self.show(options, run_with_attempts(run), run_text(run))
