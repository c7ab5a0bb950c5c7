"""`manage.py run_now`: starts a run by hand, and waits for its end where asked to."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog, operate
from schedules.management.output import printable
from schedules.management.runs_text import run_text
from schedules.management.script import REFUSED, Error, ScriptCommand, author
from schedules.management.shapes import run_shape, run_with_attempts
from schedules.models import Beat, Run, Worker
from schedules.rules.states import State

POLL_SECONDS = 0.5


class Command(ScriptCommand):
    help = "Start a run of a schedule now, whatever its timing says."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a schedule")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="wait for the end of the run, retries included; status 1 unless it succeeds",
        )

    def run(self, options: dict[str, Any]) -> None:
        run = operate.run_now(catalog.find(options["name"]), by=author())
        self._remark_absence()
        if not options["wait"]:
            self.show(options, run_shape(run), _opened(run))
        else:
            self._show_end(options, _wait_for_end(run))

    def _remark_absence(self) -> None:
        """Who would have to be there for the run to begin."""
        if not Beat.objects.alive().exists():
            self.remark("No beat is running: the run waits until one does (manage.py up).")
        elif not Worker.objects.alive().exists():
            self.remark("No worker is running: the run waits until one does (manage.py up).")

    def _show_end(self, options: dict[str, Any], run: Run) -> None:
        self.show(options, run_with_attempts(run), run_text(run))
        if run.state not in (State.SUCCEEDED, State.SENT):
            raise Error(f"Run {run.pk} {run.label}.", returncode=REFUSED)


def _opened(run: Run) -> str:
    return f"Run {run.pk} of {printable(run.name)} waits for a worker. See: manage.py show_run {run.pk}"


def _wait_for_end(run: Run) -> Run:
    while not run.is_final:
        time.sleep(POLL_SECONDS)
        run.refresh_from_db()
    return Run.objects.prefetch_related("attempts__output").get(pk=run.pk)
