"""`manage.py prune_runs`: deletes now what beat would delete in its own time, or says what that is."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandParser

from schedules import conf, retention
from schedules.management.output import counted, printable, table
from schedules.management.script import ScriptCommand
from schedules.management.selection import add_selection, chosen
from schedules.models import Schedule
from schedules.querysets import database_now

LARGEST_BATCH = 10_000
PROGRESS_SECONDS = 2.0
GONE = "(schedules that are gone)"


def _batch(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= LARGEST_BATCH:
        return int(text)
    raise ArgumentTypeError(f"{text} is not a number from 1 to {LARGEST_BATCH:,}")


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if 0 <= found <= 3600:
        return found
    raise ArgumentTypeError(f"{text} is not a number of seconds from 0 to 3600")


class Command(ScriptCommand):
    help = "Delete runs that are older than they are to be kept, with their attempts and output."

    def arguments(self, parser: CommandParser) -> None:
        add_selection(parser)
        parser.add_argument(
            "--dry-run", action="store_true", help="only say how many runs of which schedules would go"
        )
        parser.add_argument(
            "--batch",
            metavar="N",
            type=_batch,
            default=None,
            help=f"runs that one transaction deletes (default: 1000, at most {LARGEST_BATCH})",
        )
        parser.add_argument(
            "--sleep",
            metavar="S",
            type=_seconds,
            default=0.1,
            help="seconds to rest between transactions (default: 0.1)",
        )

    def run(self, options: dict[str, Any]) -> None:
        pks = None
        if options["names"] or options["tag"]:
            pks = [row.pk for row in chosen(options["names"], options["tag"])]
        if options["dry_run"]:
            self._say(options, pks)
        else:
            self._delete(options, pks)

    def _say(self, options: dict[str, Any], pks: list[int] | None) -> None:
        found = list(retention.old_runs(pks, database_now()))
        rows = Schedule.objects.filter(pk__in=[pk for pk, _ in found if pk is not None])
        names = {row.pk: row.given_name for row in rows.only("name", "deleted_at")}
        told = sorted((-count, names.get(pk, "") if pk else "") for pk, count in found)
        total = sum(count for _, count in found)
        text = f"{counted(total, 'run')} would be deleted."
        if told:
            lines = [(name or GONE, f"{-count:,}") for count, name in told]
            text = f"{table(('SCHEDULE', 'RUNS'), lines)}\n{text}"
        shapes = [{"schedule": name or None, "runs": -count} for count, name in told]
        self.show(options, {"runs": total, "schedules": shapes}, text)

    def _delete(self, options: dict[str, Any], pks: list[int] | None) -> None:
        limit = options["batch"] or conf.current().retention_batch
        began = said = time.monotonic()
        total = 0
        try:
            for count in retention.prune(pks, database_now(), limit=limit):
                total += count
                if self.stderr.isatty() and time.monotonic() - said >= PROGRESS_SECONDS:
                    said = time.monotonic()
                    self.remark(f"{counted(total, 'run')} deleted, {said - began:.0f} s")
                time.sleep(options["sleep"])
        except KeyboardInterrupt:
            self.remark(f"Interrupted: {counted(total, 'run')} deleted. Call it again to go on.")
            raise
        text = f"{counted(total, 'run')} deleted." if total else "No run is old enough to be deleted."
        self.show(options, {"deleted": total, "seconds": round(time.monotonic() - began, 1)}, printable(text))
