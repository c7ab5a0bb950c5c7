"""`manage.py check_production`: is this installation fit for production, and does it work just now?"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from schedules.management.production_text import shape, text
from schedules.management.script import REFUSED, ScriptCommand
from schedules.production import flow as production
from schedules.rules.production import Level

FAILING = {"error": {Level.ERROR}, "warning": {Level.ERROR, Level.WARNING}}


class Command(ScriptCommand):
    help = (
        "Look at settings, database, broker, beats, workers and runs, and say of each what is wrong and what "
        "to do. Changes nothing."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fail-level",
            choices=sorted(FAILING),
            default="error",
            help="the status is 1 from this level on (default error)",
        )
        parser.add_argument(
            "--ignore",
            metavar="CODE",
            action="append",
            default=[],
            help="leave out a finding that is accepted, by the code that --json shows; repeatable",
        )

    def run(self, options: dict[str, Any]) -> None:
        looked, ignored = production.look(), options["ignore"]
        found = [each for each in looked if each.code not in ignored]
        for code in sorted(set(ignored) - {each.code for each in looked}):
            self.stderr.write(f"--ignore {code}: nothing was found under that code. Is it still right?")
        self.show(options, shape(found), text(found, width=self.width()))
        if any(each.level in FAILING[options["fail_level"]] for each in found):
            sys.exit(REFUSED)  # all is said
