"""`manage.py compare_cron`: cron's log beside what the schedules would have started. See `comparing`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser

from schedules.comparing import flow as comparing
from schedules.comparing import log_files
from schedules.comparing.flow import Compared
from schedules.errors import BeatkeeperError, NotPossible, UnknownSchedule
from schedules.importing.known import imported_were
from schedules.management.output import counted, iso, local, printable, table
from schedules.management.script import REFUSED, Error, ScriptCommand, author, moment, usage_error
from schedules.management.selection import add_selection, chosen
from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.cron.clock import zone
from schedules.rules.cron_log import CronLog, read

TOLERANCE = 55
MOST_SHOWN = 60
"""Rows of one table; `--json` and the page have them all."""
FIRST = 5
"""Names of a list that only counts."""


_NOTHING = "Nothing to compare"
_NO_JOURNAL = (
    "systemd's journal has no line of cron in that time: this machine keeps no journal, this account may not "
    "read it, or cron logs elsewhere. Give cron's own log: --log /var/log/syslog"
)


class Command(ScriptCommand):
    help = (
        "Compare what cron's log says was started with what shadow schedules would have started (or live "
        "ones did). The status is 1 where they differ."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add_selection(parser)
        add("--source", metavar="FILE", default="", help="only those imported from this crontab")
        add("--all", action="store_true", help="list also each schedule with nothing to compare")
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
        keys = _chosen(options)
        names, logs = _read(options, since, until, now)
        found = comparing.compare(
            logs,
            name=", ".join(names),
            since=since,
            until=until,
            tolerance=tolerance,
            now=now,
            by=author(),
            chosen=keys,
        )
        words = _text(found, options["tolerance"], self.width(), is_all=options["all"])
        self.show(options, _shape(found), words)
        if any(log.is_full for log in logs):
            self.remark("The log has more starts than are compared at once. Compare it in parts.")
        if found.differences:
            raise Error(_complaint(found), returncode=REFUSED)


def _complaint(found: Compared) -> str:
    differ = found.differences - found.both_ran
    parts = [f"cron and Beatkeeper differ in {counted(differ, 'start')}"] if differ else []
    if found.both_ran:
        parts.append(f"cron and Beatkeeper both ran {counted(found.both_ran, 'start')}, each of them twice")
    return f"{'; '.join(parts)}."


def _chosen(options: dict[str, Any]) -> set[int] | None:
    """None: nobody chose."""
    names, tag, source = options["names"], options["tag"], options["source"]
    if source and (names or tag):
        raise usage_error("Give names, --tag or --source, and only one of them.")
    if names or tag:
        return {row.pk for row in chosen(names, tag)}
    if not source:
        return None
    keys = set(Schedule.objects.live().filter(source=source).values_list("pk", flat=True))
    if not keys:
        raise UnknownSchedule(f'No schedule was imported from "{printable(source)}". {imported_were()}')
    return keys


def _read(
    options: dict[str, Any], since: datetime | None, until: datetime | None, now: datetime
) -> tuple[list[str], list[CronLog]]:
    place = _zone(options["timezone"])
    if options["journal"]:
        with log_files.journal(since=since, until=until, now=now) as file:
            log = read(file.lines, zone=place, written_at=file.written_at)
        if log.first is None:
            raise NotPossible(_NO_JOURNAL)
        return [file.name], [log]
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


def _text(found: Compared, tolerance: float, width: int | None, *, is_all: bool) -> str:
    stored = found.stored
    known = [row for row in stored.result if row["schedule"]]
    doubled = [row for row in known if row["both_ran"]]
    differing = [row for row in known if not row["both_ran"] and (row["only_cron"] or row["only_us"])]
    rest = [row for row in known if row not in doubled and row not in differing]
    nothing = [row for row in rest if not row["matched"]]
    parts = [
        f"Compared from {local(stored.since)} to {local(stored.until)}: the time in which the log and the "
        f"schedules both were watching.\nA start belongs to a due instant up to {tolerance:g} s before it.",
        _table("Run by both, cron and Beatkeeper", doubled, width),
        *_details(doubled),
        _table("Different", differing, width),
        *_details(differing),
        _table("Equal", [row for row in rest if row["matched"]], width),
        _table(_NOTHING, nothing, width) if is_all else _nothing(nothing),
        _unknown([row for row in stored.result if not row["schedule"]], width),
        _left_out(found.left_out),
        _summary(found),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(found: Compared) -> str:
    stored = found.stored
    doubled = f" ({found.both_ran:,} of them run by both)" if found.both_ran else ""
    return (
        f"{stored.matched:,} matched{doubled}, {stored.only_cron:,} only cron, {stored.only_us:,} only "
        f"Beatkeeper (comparison {stored.pk})."
    )


def _nothing(rows: list[dict[str, Any]]) -> str:
    """How many, and why; `--all` lists them."""
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        reasons[row["note"]].append(row["schedule"])
    lines = [f"  {printable(note)} ({len(names):,}): {_first(names)}" for note, names in reasons.items()]
    return "\n".join([f"{_NOTHING} ({len(rows):,}; --all lists them)", *lines]) if rows else ""


def _left_out(names: dict[str, list[str]]) -> str:
    if not names:
        return ""
    total = sum(map(len, names.values()))
    return (
        f"Left out: {counted(total, 'live schedule')} of which the log shows nothing, from what no cron "
        f"reads ({_first(list(names))}). To compare them: --source, --tag or their names."
    )


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - FIRST:,} more" if len(names) > FIRST else ""
    return printable(", ".join(names[:FIRST])) + more


def _table(title: str, rows: list[dict[str, Any]], width: int | None) -> str:
    if not rows:
        return ""
    head = ("NAME", "MODE", "LINE", "MATCHED", "BOTH RAN", "ONLY CRON", "ONLY US", "DRIFT P50", "MAX", "NOTE")
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
        f"{row['both_ran']:,}" if row["both_ran"] else "",
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
        if len(lines) > 1:
            found.append("\n".join(lines))
    return found


def _unknown(rows: list[dict[str, Any]], width: int | None) -> str:
    if not rows:
        return ""
    cells = [(row["account"], f"{row['only_cron']:,}", row["command"]) for row in rows[:MOST_SHOWN]]
    title = "In the log, of no schedule; not counted as differences"
    return _indented(title, rows, table(("ACCOUNT", "STARTS", "COMMAND"), cells, width=width))


def _shape(found: Compared) -> dict[str, Any]:
    stored = found.stored
    return {
        "id": stored.pk,
        "log": stored.log,
        "since": iso(stored.since),
        "until": iso(stored.until),
        "matched": stored.matched,
        "both_ran": found.both_ran,
        "only_cron": stored.only_cron,
        "only_us": stored.only_us,
        "schedules": [row for row in stored.result if row["schedule"]],
        "unknown": [row for row in stored.result if not row["schedule"]],
        "left_out": [name for names in found.left_out.values() for name in names],
    }
