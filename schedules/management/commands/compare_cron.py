"""`manage.py compare_cron`: cron's log beside what the schedules would have started. See `comparing`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser

from schedules import comparing, log_files
from schedules.errors import BeatkeeperError
from schedules.management.output import counted, iso, local, printable, table
from schedules.management.script import REFUSED, Error, ScriptCommand, author, moment, usage_error
from schedules.models import CronComparison
from schedules.querysets import database_now
from schedules.rules.cron_clock import zone
from schedules.rules.cron_log import CronLog, read

TOLERANCE = 55
MOST_SHOWN = 60
"""Rows of one table; `--json` and the page have them all."""


class Command(ScriptCommand):
    help = (
        "Compare what cron's log says was started with what shadow schedules would have started (or live "
        "ones did). The status is 1 where they differ."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "--log",
            action="append",
            default=[],
            metavar="FILE",
            help='may be repeated, oldest first (syslog.1, syslog); a .gz is read too, "-" is a pipe',
        )
        add("--journal", action="store_true", help="read the journal of systemd instead")
        add("--since", metavar="T", default="", help="a time, or a length before now such as 7d")
        add("--until", metavar="T", default="", help="likewise")
        add(
            "--tolerance",
            type=float,
            default=TOLERANCE,
            metavar="S",
            help="seconds after its minute within which a start belongs to it (default: %(default)s)",
        )
        add("--timezone", metavar="TZ", default="", help="of times without offset (default: this machine's)")

    def run(self, options: dict[str, Any]) -> None:
        now = database_now()
        if bool(options["log"]) == options["journal"]:
            raise usage_error("Give either --log FILE or --journal.")
        if not 0 < options["tolerance"] <= 3600:
            raise usage_error("--tolerance is a number of seconds, above 0 and at most 3600.")
        since, until = (
            moment(options[name], now=now, sign=-1, option=f"--{name}") if options[name] else None
            for name in ("since", "until")
        )
        tolerance = timedelta(seconds=options["tolerance"])
        names, logs = _read(options, since, until, now)
        found = comparing.compare(
            logs, name=", ".join(names), since=since, until=until, tolerance=tolerance, now=now, by=author()
        )
        self.show(options, _shape(found), _text(found, options["tolerance"], self.width()))
        if any(log.is_full for log in logs):
            self.remark("The log has more starts than are compared at once. Compare it in parts.")
        differences = found.only_cron + found.only_us
        if differences:
            raise Error(f"cron and Beatkeeper differ in {counted(differences, 'start')}.", returncode=REFUSED)


def _read(
    options: dict[str, Any], since: datetime | None, until: datetime | None, now: datetime
) -> tuple[list[str], list[CronLog]]:
    place = _zone(options["timezone"])
    if options["journal"]:
        with log_files.journal(since=since, until=until, now=now) as file:
            return [file.name], [read(file.lines, zone=place, written_at=file.written_at)]
    names, logs = [], []
    for path in options["log"]:
        with log_files.opened(path, now=now) as file:
            names.append(printable(file.name))
            logs.append(read(file.lines, zone=place, written_at=file.written_at))
    return names, logs


def _zone(name: str) -> ZoneInfo:
    try:
        return zone(name or settings.TIME_ZONE)
    except BeatkeeperError as error:
        raise usage_error(f"--timezone: {error}") from error


def _text(found: CronComparison, tolerance: float, width: int | None) -> str:
    rows = found.result
    known = [row for row in rows if row["schedule"]]
    differing = [row for row in known if row["only_cron"] or row["only_us"]]
    parts = [
        f"Compared from {local(found.since)} to {local(found.until)}: the time in which the log and the "
        f"schedules both were watching.\nA start belongs to a due instant up to {tolerance:g} s before it.",
        _table("Different", differing, width),
        *_details(differing),
        _table("Equal", [row for row in known if row not in differing and row["matched"]], width),
        _table("Nothing to compare", [r for r in known if r not in differing and not r["matched"]], width),
        _unknown([row for row in rows if not row["schedule"]], width),
        f"{found.matched:,} matched, {found.only_cron:,} only cron, {found.only_us:,} only Beatkeeper "
        f"(comparison {found.pk}).",
    ]
    return "\n\n".join(part for part in parts if part)


def _table(title: str, rows: list[dict[str, Any]], width: int | None) -> str:
    if not rows:
        return ""
    head = ("NAME", "MODE", "LINE", "MATCHED", "ONLY CRON", "ONLY US", "DRIFT P50", "MAX", "NOTE")
    return _indented(title, rows, table(head, [_cells(row) for row in rows[:MOST_SHOWN]], width=width))


def _indented(title: str, rows: list[dict[str, Any]], body: str) -> str:
    lines = [f"{title} ({len(rows):,})", *(f"  {line}" for line in body.split("\n"))]
    if len(rows) > MOST_SHOWN:
        lines.append(f"  ... and {len(rows) - MOST_SHOWN:,} more; --json lists all")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    place = f"{row['source']}:{row['line']}" if row["source"] else ""
    return (
        *(row["schedule"], row["mode"], place, f"{row['matched']:,}"),
        *(f"{row['only_cron']:,}", f"{row['only_us']:,}"),
        *(seconds(row["drift_p50"]), seconds(row["drift_max"]), row["note"]),
    )


def seconds(value: float | None) -> str:
    """Ours minus cron's: negative where we were first."""
    return "-" if value is None else f"{value:+.1f} s"


def _details(rows: list[dict[str, Any]]) -> list[str]:
    found = []
    for row in rows[:10]:
        lines = [printable(row["schedule"])]
        for side, times in (("only cron", row["first_only_cron"]), ("only us", row["first_only_us"])):
            if times:
                shown = ", ".join(local(datetime.fromisoformat(at)) for at in times)
                lines.append(
                    f"  {side}: {shown}{', ...' if row[side.replace(' ', '_')] > len(times) else ''}"
                )
        found.append("\n".join(lines))
    return found


def _unknown(rows: list[dict[str, Any]], width: int | None) -> str:
    if not rows:
        return ""
    cells = [(row["account"], f"{row['only_cron']:,}", row["command"]) for row in rows[:MOST_SHOWN]]
    title = "In the log, of no schedule; not counted as differences"
    return _indented(title, rows, table(("ACCOUNT", "STARTS", "COMMAND"), cells, width=width))


def _shape(found: CronComparison) -> dict[str, Any]:
    return {
        "id": found.pk,
        "log": found.log,
        "since": iso(found.since),
        "until": iso(found.until),
        "matched": found.matched,
        "only_cron": found.only_cron,
        "only_us": found.only_us,
        "schedules": [row for row in found.result if row["schedule"]],
        "unknown": [row for row in found.result if not row["schedule"]],
    }
