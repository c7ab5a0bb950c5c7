"""`manage.py prove_import`: do the schedules start what cron starts? The work is in `schedules.proving`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from schedules.errors import NotPossible
from schedules.management.proof_text import YEARS, complaint, proof_shape, proof_text, years
from schedules.management.script import REFUSED, Error, ScriptCommand
from schedules.proving.flow import prove
from schedules.proving.lines import found, imported
from schedules.querysets import database_now
from schedules.rules.daemon import Window

LARGE = 500
"""Distinct timings from which on a person wants to see progress."""


class Command(ScriptCommand):
    help = (
        "Compare imported schedules with their crontabs: every instant at which cron starts a line, computed "
        "by the rules of its daemon, with every instant at which the schedule starts. Status 1 where a line "
        "differs or cannot be proved."
    )

    file_names = ("names",)

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "names",
            metavar="PATH|SOURCE",
            nargs="*",
            help="a crontab as it is on disk now, or the source of an import (default: all, as imported)",
        )
        parser.add_argument(
            "--years", type=years, default=YEARS, metavar="N", help=f"from now on (default: {YEARS})"
        )

    def run(self, options: dict[str, Any]) -> None:
        files = found(options["names"]) if options["names"] else imported()
        if not files:
            raise NotPossible("There is nothing to prove: no crontab has been imported yet.")
        window = Window.of_years(database_now(), options["years"])
        report = prove(files, window, progress=self._progress)
        self.show(options, proof_shape(report), proof_text(report))
        if not report.is_proved:
            raise Error(complaint(report), returncode=REFUSED)

    def _progress(self, done: int, total: int) -> None:
        if total >= LARGE and sys.stderr.isatty():
            end = "\n" if done == total else ""
            self.stderr.write(f"\r{done:,} of {total:,} timings compared", style_func=str, ending=end)
