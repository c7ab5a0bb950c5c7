"""`manage.py import_crontab`: crontabs become schedules. The work is in `schedules.importing`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandParser

from schedules.errors import CrontabRefused, InvalidSchedule
from schedules.import_sources import Reading, Remark, read
from schedules.importing import Fate, Item, Options, Report, check, import_crontabs
from schedules.management.output import counted, iso, local, printable, table
from schedules.management.script import REFUSED, Error, ScriptCommand, author, usage_error
from schedules.models import RetryPolicy
from schedules.rules.crontab_lines import Format

MOST_SHOWN = 60
"""Rows of one table; `--json` has them all."""
LARGE = 500
"""Schedules from which on a person wants to see progress."""


class Command(ScriptCommand):
    help = (
        "Import crontabs. A second import of the same file updates what its lines say, creates what is "
        "new and leaves the rest alone. All files are imported together, or none."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add(
            "paths",
            metavar="FILE|DIR|-",
            nargs="+",
            help='crontabs; a directory is read like /etc/cron.d; "-" is standard input',
        )
        add(
            "--format",
            choices=[format.value for format in Format],
            help="user: as crontab -l prints it (the default); system: with an account in each line",
        )
        add("--account", metavar="NAME", help="the owner of a user's crontab, who runs its commands")
        add("--timezone", metavar="TZ", default="", help="IANA name (default: this machine's zone)")
        add("--queue", metavar="Q", default="", help="the queue of new schedules")
        add(
            "--retry-policy",
            metavar="NAME",
            default="",
            help="of new schedules (default: one attempt, as cron)",
        )
        add("--tag", metavar="T", action="append", default=[], help="for new schedules; may be repeated")
        add("--disabled", action="store_true", help="create new schedules disabled")
        add("--dry-run", action="store_true", help="show what would be done, and change nothing")
        add("--partial", action="store_true", help="import the good lines of files that cron would ignore")

    def run(self, options: dict[str, Any]) -> None:
        reading, chosen = _reading(options), _options(options)
        try:
            sources = read(options["paths"], reading)
        except CrontabRefused as error:
            raise usage_error(str(error)) from error
        report = import_crontabs(
            sources, chosen, by=author(), dry_run=options["dry_run"], progress=self._progress
        )
        self.show(options, _shape(report), _text(report, self.width()))
        if report.plan.refused:
            raise Error(_complaint(report, partial=chosen.partial), returncode=REFUSED)

    def _progress(self, done: int, total: int) -> None:
        if total >= LARGE and sys.stderr.isatty():
            end = "\n" if done == total else ""
            self.stderr.write(f"\r{done:,} of {total:,} schedules written", style_func=str, ending=end)


def _reading(options: dict[str, Any]) -> Reading:
    format = Format(options["format"]) if options["format"] else None
    account = options["account"]
    if format is Format.SYSTEM and account:
        raise usage_error("--account does not go with --format system: there each line names its account.")
    if account is not None and not account.strip():
        raise usage_error("--account is empty. Name the owner of the crontab, or leave --account out.")
    if options["paths"].count("-") > 1:
        raise usage_error('"-" can be given only once: there is one standard input.')
    return Reading(format=format, account=account)


def _options(given: dict[str, Any]) -> Options:
    options = Options(
        timezone=given["timezone"],
        queue=given["queue"],
        retry_policy=_policy(given["retry_policy"]),
        tags=_tags(given["tag"]),
        enabled=not given["disabled"],
        partial=given["partial"],
    )
    try:
        check(options)
    except InvalidSchedule as error:
        raise usage_error(f"{error}.".replace("..", ".").replace("?.", "?")) from error
    return options


def _tags(words: list[str]) -> str:
    tags = " ".join(dict.fromkeys(" ".join(words).split()))
    if len(tags) > 255 or not tags.isprintable():
        raise usage_error(
            "--tag: all tags together may have 255 characters, none of them a control character."
        )
    return tags


def _policy(name: str) -> RetryPolicy | None:
    if not name:
        return None
    known = {policy.name: policy for policy in RetryPolicy.objects.all()}
    if name in known:
        return known[name]
    there_are = f"There are: {', '.join(sorted(known))}." if known else "There are none yet."
    raise usage_error(
        f'There is no retry policy "{printable(name)}". {there_are} '
        "Some to begin with: manage.py loaddata fixtures/retry_policies.json"
    )


def _shape(report: Report) -> dict[str, Any]:
    return {
        **{fate.value: [_item_shape(item) for item in report.of(fate)] for fate in Fate},
        "refused": [_remark_shape(remark) for remark in report.plan.refused],
        "warnings": [_remark_shape(remark) for remark in report.plan.warnings],
        "dry_run": report.is_dry_run,
        "imported": report.is_imported,
    }


def _item_shape(item: Item) -> dict[str, Any]:
    current = item.schedule
    return {
        "name": current.name,
        "file": item.file,
        "line": item.line,
        "expression": item.values.get("cron", current.cron),
        "command": item.values.get("command", current.command),
        "account": item.values.get("run_as", current.run_as),
        "timezone": item.values.get("timezone", current.timezone),
        "next_run": iso(item.next_run_at),
        **({"changes": list(item.changes)} if item.fate == Fate.CHANGED else {}),
    }


def _remark_shape(remark: Remark) -> dict[str, Any]:
    return {"file": remark.file, "line": remark.line, "reason": remark.reason}


def _text(report: Report, width: int | None) -> str:
    parts = [
        _created_text(report, width),
        _changed_text(report, width),
        _unchanged_text(report, width),
        _gone_text(report, width),
        _remarks_text("Refused", report.plan.refused),
        _remarks_text("Warnings", report.plan.warnings),
        _summary(report),
    ]
    return "\n\n".join(part for part in parts if part)


def _created_text(report: Report, width: int | None) -> str:
    head = ("NAME", "LINE", "TIME", "ZONE", "ACCOUNT", "NEXT RUN", "COMMAND")
    return _items_text("To create", "Created", report, Fate.CREATED, head, _created_cells, width)


def _changed_text(report: Report, width: int | None) -> str:
    head = ("NAME", "LINE", "NEXT RUN", "WHAT CHANGES")
    return _items_text("To change", "Changed", report, Fate.CHANGED, head, _changed_cells, width)


def _unchanged_text(report: Report, width: int | None) -> str:
    head = ("NAME", "LINE", "NEXT RUN")
    return _items_text("Unchanged", "Unchanged", report, Fate.UNCHANGED, head, _plain_cells, width)


def _gone_text(report: Report, width: int | None) -> str:
    title = "Gone from the file; left as they are"
    text = _items_text(title, title, report, Fate.GONE, ("NAME", "LINE", "NEXT RUN"), _plain_cells, width)
    advice = "To stop one: manage.py pause_schedule NAME, or disable or delete it in the admin."
    return f"{text}\n  {advice}" if text else ""


def _items_text(
    planned: str,
    done: str,
    report: Report,
    fate: Fate,
    head: tuple[str, ...],
    cells: Callable[[Item], tuple[str, ...]],
    width: int | None,
) -> str:
    items = report.of(fate)
    if not items:
        return ""
    body = table(
        head, [cells(item) for item in items[:MOST_SHOWN]], width=None if width is None else width - 2
    )
    lines = [f"{done if report.is_imported else planned} ({len(items):,})"]
    lines += [f"  {line}" for line in body.split("\n")]
    return "\n".join([*lines, *_more(len(items))])


def _more(total: int) -> list[str]:
    return [f"  ... and {total - MOST_SHOWN:,} more; --json lists all"] if total > MOST_SHOWN else []


def _created_cells(item: Item) -> tuple[str, ...]:
    said = item.values
    account = said.get("run_as", "")
    return (
        *(item.schedule.name, _place(item), said["cron"], said["timezone"], account),
        *(_next_run(item), said["command"]),
    )


def _changed_cells(item: Item) -> tuple[str, ...]:
    return item.schedule.name, _place(item), _next_run(item), "; ".join(item.changes)


def _plain_cells(item: Item) -> tuple[str, ...]:
    return item.schedule.name, _place(item), _next_run(item)


def _next_run(item: Item) -> str:
    if item.next_run_at is not None:
        return local(item.next_run_at, item.values.get("timezone") or item.schedule.timezone)
    if not item.schedule.enabled:
        return "disabled"
    if item.schedule.paused_until is not None:
        return "paused"
    return "at boot" if item.values.get("cron", item.schedule.cron) == "@reboot" else "never"


def _remarks_text(title: str, remarks: tuple[Remark, ...]) -> str:
    if not remarks:
        return ""
    lines = [f"  {_where(remark)}: {printable(remark.reason)}" for remark in remarks[:MOST_SHOWN]]
    return "\n".join([f"{title} ({len(remarks):,})", *lines, *_more(len(remarks))])


def _summary(report: Report) -> str:
    counts = [f"{len(report.of(fate)):,} {fate.value}" for fate in Fate]
    what = ", ".join([*counts, f"{len(report.plan.refused):,} refused"])
    if report.is_imported:
        return f"Imported: {what}."
    return f"Nothing was imported{' (dry run)' if report.is_dry_run else ''}: {what}."


def _complaint(report: Report, *, partial: bool) -> str:
    what = counted(len(report.plan.refused), "problem")
    if report.is_imported:
        return f"{what}: what is refused above was left out, everything else was imported."
    if report.is_dry_run and partial:
        return f"{what}: what is refused above would be left out."
    if report.is_dry_run:
        return f"{what}: the import would be refused as a whole, unless --partial is given."
    return (
        f"Nothing was imported because of {what}: all of it is imported, or nothing, as cron ignores a "
        "file for one bad line. Correct what is refused above, or import the rest with --partial."
    )


def _place(item: Item) -> str:
    return f"{item.file}:{item.line}"


def _where(remark: Remark) -> str:
    return printable(f"{remark.file}:{remark.line}" if remark.line else remark.file)
