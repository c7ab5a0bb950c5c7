"""`manage.py cut_over`: lines leave cron, schedules run them. The work is in `schedules.cutting_over`."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.cutting_over.crontab_edit import ACCOUNT_LABEL
from schedules.cutting_over.flow import Report, Request, run
from schedules.cutting_over.going_back import Edit, Start, next_starts
from schedules.cutting_over.objections import Objection
from schedules.cutting_over.plan import Move, Wanted
from schedules.management.output import counted, iso, local, printable, table
from schedules.management.script import REFUSED, Error, ScriptCommand, author, usage_error
from schedules.models import CutOver, Schedule
from schedules.rules.safe_minute import FIRST_SECOND, LAST_SECOND


class Command(ScriptCommand):
    help = (
        "Take lines out of a crontab of this machine and make their shadow schedules live, from one minute "
        "to the next. All lines together, or none. --undo goes back. Repeat it where it was interrupted."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "source",
            metavar="SOURCE",
            nargs="?",
            help="the crontab: its path, or crontab:ACCOUNT through crontab(1)",
        )
        add(
            "--line",
            type=int,
            action="append",
            default=[],
            metavar="N",
            help="only this line; may be repeated",
        )
        add("--name", action="append", default=[], metavar="NAME", help="only this schedule; may be repeated")
        add("--undo", action="store_true", help="put the lines back; the schedules are shadows again")
        add("--dry-run", action="store_true", help="say what would be done and what speaks against it")
        add("--force", action="store_true", help="override what the objections say may be forced")

    def run(self, options: dict[str, Any]) -> None:
        wanted = Wanted(source=_source(options), lines=options["line"], names=options["name"])
        undo, dry_run = options["undo"], options["dry_run"]
        request = Request(wanted=wanted, by=author(), undo=undo, force=options["force"], dry_run=dry_run)
        report = run(request, on_wait=self._waiting)
        starts = next_starts(report.moves, wanted.source) if undo else {}
        shape = _shape(report, request, starts)
        self.show(options, shape, self._text(report, request, starts))
        if report.objections:
            what = counted(len(report.objections), "objection")
            raise Error(f"Nothing was changed because of {what}.", returncode=REFUSED)

    def _waiting(self, seconds: float) -> None:
        self.remark(
            f"Waiting {seconds:.0f} s for the part of a minute in which cron looks away "
            f"(seconds {FIRST_SECOND} to {LAST_SECOND}) ..."
        )

    def _text(self, report: Report, request: Request, starts: Mapping[str, Start]) -> str:
        width = self.width()
        parts = _moves_text(report, request, starts, None if width is None else width - 2)
        parts.append(_edits(report, request))
        parts.append(_remarks("Refused", report, report.objections))
        parts.append(_remarks("Overridden by --force", report, report.overridden))
        parts.append(_ending(report, request))
        return "\n\n".join(part for part in parts if part)


def _source(options: dict[str, Any]) -> str:
    """What the schedules' column `source` holds: as given, a path made absolute, or that of the names."""
    given, names = options["source"], options["name"]
    if given is None and not names:
        raise usage_error("Name a crontab, or schedules with --name.")
    if given is not None:
        return str(given) if given.startswith(ACCOUNT_LABEL) else os.path.abspath(given)
    found = {_source_of(name) for name in names}
    if len(found) > 1:
        raise usage_error(
            f"These schedules came from several crontabs: {', '.join(sorted(found))}. One at a time."
        )
    [source] = found
    if not source:
        raise usage_error(f'"{names[0]}" was not imported from a crontab.')
    return source


def _source_of(name: str) -> str:
    row = CutOver.objects.filter(name=name, undone_at__isnull=True).first()
    is_known = Schedule.objects.live().filter(name=name).exists()
    return row.path if row and not is_known else catalog.find(name).source


def _moves_text(
    report: Report, request: Request, starts: Mapping[str, Start], width: int | None
) -> list[str]:
    """A table of what is moved, and one of what was moved before."""
    if report.objections:
        return []
    done = report.effective_at is not None
    if request.undo:
        title = "Back in" if done else "To be put back in"
    else:
        title = "Cut over in" if done else "To be cut over in"
    already = [move for move in report.moves if move.name in report.already]
    moved = [move for move in report.moves if move.name not in report.already]
    head = ("NAME", "LINE", "TIME", "NEXT RUN", "RUN BY", "COMMAND")
    found = []
    for heading, moves in (("Already cut over in", already), (title, moved)):
        body = table(head, [_cells(move, starts.get(move.name)) for move in moves], width=width)
        lines = [
            f"{heading} {printable(report.place)} ({len(moves):,})",
            *(f"  {it}" for it in body.split("\n")),
        ]
        found += ["\n".join(lines)] if moves else []
    return found


def _cells(move: Move, start: Start | None) -> tuple[str, ...]:
    """As the schedule says it; with `start`, as the line does that goes back to cron."""
    row, job = move.schedule, move.job
    if start and job:
        at = "at boot" if job.expression == "@reboot" else local(start.at, start.timezone)
        return move.name, str(move.line), job.expression, at, _runner(move), job.command
    if row is None:
        return move.name, str(move.line), "", "", _runner(move), ""
    next_run = local(row.next_run_at, row.timezone)
    return move.name, str(move.line), row.cron, next_run, _runner(move), row.command


def _runner(move: Move) -> str:
    """Who runs the line as things stand."""
    if move.is_out:
        return "Beatkeeper" if move.is_live else "NOBODY"
    return "BOTH" if move.is_live else "cron"


def _remarks(title: str, report: Report, objections: Any) -> str:
    if not objections:
        return ""
    lines = [f"  {_where(report, it)}: {printable(it.reason)}" for it in objections]
    return "\n".join([f"{title} ({len(lines):,})", *lines])


def _edits(report: Report, request: Request) -> str:
    if not report.edits or report.objections:
        return ""
    lines = [f"  {_where(report, it)}: {printable(_edit(it, request))}" for it in report.edits]
    return "\n".join([f"Warnings ({len(lines):,})", *lines])


def _edit(it: Edit, request: Request) -> str:
    export = shlex.join(["export_crontab", "--source", request.wanted.source])
    return (
        f'"{it.name}" is not what the line says ({", ".join(it.what)}): it was edited, and the line goes '
        f"back as cron had it, without the edit. manage.py {export} writes the crontab with it"
    )


def _where(report: Report, objection: Objection | Edit) -> str:
    return printable(f"{report.place}:{objection.line}" if objection.line else report.place)


def _ending(report: Report, request: Request) -> str:
    if report.objections:
        return ""
    if report.effective_at is None:
        to_do = len(report.moves) > len(report.already)
        return "Nothing was changed (dry run)." if request.dry_run and to_do else "Nothing to do."
    at = local(report.effective_at)
    source = printable(request.wanted.source)
    if request.undo:
        said = f"cron runs these lines again from {at} on; Beatkeeper ran them until then."
        return f"{said}\nThe crontab before: {report.backup}"
    return (
        f"Beatkeeper runs these lines from {at} on; cron ran them until then.\n"
        f"The crontab before: {report.backup}\nTo go back: manage.py cut_over --undo {source}"
    )


def _shape(report: Report, request: Request, starts: Mapping[str, Start]) -> dict[str, Any]:
    return {
        "source": report.place,
        "undo": request.undo,
        "dry_run": request.dry_run,
        "done": report.effective_at is not None,
        "effective_at": iso(report.effective_at),
        "backup": report.backup,
        "lines": [
            {
                "name": move.name,
                "line": move.line,
                "run_by": _runner(move).lower(),
                "next_run": iso(_next_run(move, starts.get(move.name))),
                "already": move.name in report.already,
            }
            for move in report.moves
        ],
        "warnings": [_warning(report, it, request) for it in report.edits],
        "refused": [_objection(report, it) for it in report.objections],
        "overridden": [_objection(report, it) for it in report.overridden],
    }


def _next_run(move: Move, start: Start | None) -> datetime | None:
    if start:
        return start.at
    return move.schedule.next_run_at if move.schedule else None


def _warning(report: Report, it: Edit, request: Request) -> dict[str, Any]:
    shape = {"file": report.place, "line": it.line, "name": it.name, "differs": list(it.what)}
    return shape | {"reason": _edit(it, request)}


def _objection(report: Report, it: Objection) -> dict[str, Any]:
    return {"file": report.place, "line": it.line, "reason": it.reason, "may_be_forced": it.may_be_forced}
