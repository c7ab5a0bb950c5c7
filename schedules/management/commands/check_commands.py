"""`manage.py check_commands`: could the workers run these commands? Nothing is executed."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.checking import flow as checking
from schedules.checking.subject import by_queue
from schedules.management.check_text import START_A_WORKER, Report, shape, text
from schedules.management.output import counted, printable
from schedules.management.script import REFUSED, Error, ScriptCommand, usage_error
from schedules.models import Schedule
from schedules.querysets import database_now

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.2


class Command(ScriptCommand):
    help = (
        "Ask the workers whether they could run the commands of schedules: program, account, directory, "
        "shell, files. Nothing is executed."
    )

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", metavar="NAME", nargs="*", help="schedules (default: all)")
        parser.add_argument("--queue", metavar="Q", default="", help="only those in this queue")
        parser.add_argument("--tag", metavar="T", default="", help="only those with this tag")
        parser.add_argument("--all", action="store_true", help="list what is in order and all notes, too")
        parser.add_argument(
            "--timeout",
            metavar="S",
            type=float,
            default=TIMEOUT_SECONDS,
            help=f"seconds to wait for the workers (default {TIMEOUT_SECONDS:g})",
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["timeout"] < 0:
            raise usage_error("--timeout is negative. Give a number of seconds.")
        names, wanted = _chosen(options)
        if not wanted:
            self.show(options, shape(_nothing()), "No commands to check.")
            return
        request = checking.ask(wanted)
        if not request.answers:
            raise Error(_no_worker(wanted), returncode=REFUSED)
        report = _await(request, names, options["timeout"])
        show_all = options["all"] or bool(options["names"])
        self.show(options, shape(report), text(report, show_all=show_all, width=self.width()))
        if not report.is_good:
            raise Error(_verdict(report), returncode=REFUSED)


def _chosen(options: dict[str, Any]) -> tuple[dict[int, str], dict[str, list[int]]]:
    """Names by primary key, and the schedules that can be checked by queue. Raises UnknownSchedule."""
    if options["names"]:
        rows = [catalog.find(name) for name in dict.fromkeys(options["names"])]
    else:
        rows = list(Schedule.objects.live().select_related("revision").order_by("name"))
    if options["tag"]:
        rows = [row for row in rows if options["tag"] in row.tags.split()]
    wanted = by_queue(rows)
    if options["queue"]:
        wanted = {queue: pks for queue, pks in wanted.items() if queue == options["queue"]}
    return {row.pk: row.name for row in rows}, wanted


def _nothing() -> Report:
    return Report(checking.Request({}, database_now(), ()), (), {})


def _await(request: checking.Request, names: dict[int, str], timeout: float) -> Report:
    """Until every row has come, or the time is over."""
    end = time.monotonic() + timeout
    while not checking.is_answered(request) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return Report(request, checking.arrived(request), names)


def _no_worker(wanted: dict[str, list[int]]) -> str:
    queues = ",".join(sorted(wanted))
    count = counted(sum(map(len, wanted.values())), "command")
    return (
        f"No worker is running, so nobody could look at {count}. Start one: manage.py up, or "
        f"{START_A_WORKER.format(queue=printable(queues))}"
    )


def _verdict(report: Report) -> str:
    """Which of the reasons made the status 1."""
    errors = report.counts()["error"]
    unserved = sum(map(len, report.request.unserved.values()))
    unanswered = len(report.missing) + len(report.refusals)
    reasons = [
        f"{counted(errors, 'check')} found errors" if errors else "",
        f"{counted(unserved, 'schedule')} in a queue that no worker serves" if unserved else "",
        f"{counted(unanswered, 'worker')} did not answer" if unanswered else "",
    ]
    return "; ".join(filter(None, reasons)) + "."
