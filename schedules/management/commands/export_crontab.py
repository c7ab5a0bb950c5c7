"""`manage.py export_crontab`: schedules as a crontab. The work is in `schedules.exporting`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules.exporting.flow import Export, export_chosen, export_source
from schedules.management.output import counted, printable
from schedules.management.script import ScriptCommand, usage_error
from schedules.management.selection import add_selection, chosen
from schedules.management.writing import write_output
from schedules.rules.crontab.lines import Format
from schedules.rules.crontab.sheet import Exported, Fate

MOST_SHOWN = 20


class Command(ScriptCommand):
    help = (
        "Print schedules as a crontab. With --source, the crontab as it was imported: byte for byte where "
        "no schedule was edited. Otherwise a new one, from the schedules named, those with a tag, or all."
    )

    def arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add_selection(parser)
        add("--source", metavar="FILE", default="", help="the imported crontab (as list_schedules shows it)")
        add("--output", metavar="FILE", default="-", help='where to write; "-" is standard output')
        add(
            "--format",
            choices=[Format.USER.value, Format.SYSTEM.value],
            help="of a new crontab. user: of one account (the default); system: with an account in each line",
        )
        add("--account", metavar="NAME", help="the owner of a new user's crontab; in the system format, who "
            "runs commands that name no account")  # fmt: skip
        add("--timezone", metavar="TZ", default="", help="the zone in which cron will read a new crontab")

    def run(self, options: dict[str, Any]) -> None:
        export = _export(options)
        if options["as_json"]:
            self.show(options, _shape(export), "")
            if options["output"] != "-":
                write_output(self, export.content, options["output"])
            return
        write_output(self, export.content, options["output"])
        self.remark(_summary(export))


def _export(options: dict[str, Any]) -> Export:
    if not options["source"]:
        return export_chosen(
            chosen(options["names"], options["tag"]),
            format=Format(options["format"] or Format.USER),
            account=options["account"],
            timezone=options["timezone"],
        )
    for name in ("names", "tag", "format", "account", "timezone"):
        if options[name]:
            raise usage_error(
                f"--source gives back a crontab as it was imported, so {_SAID[name]} does not go with it."
            )
    return export_source(options["source"])


_SAID = {"names": "a schedule's name"} | {
    name: f"--{name}" for name in ("tag", "format", "account", "timezone")
}


def _summary(export: Export) -> str:
    counts = {fate: len(export.of(fate)) for fate in Fate}
    kept = f"{counts[Fate.KEPT]:,} as imported, " if export.source else ""
    said = f"{kept}{counts[Fate.WRITTEN]:,} written, {counts[Fate.COMMENTED]:,} commented out"
    lines = [f"Exported {counted(len(export.schedules), 'schedule')}: {said}."]
    commented = export.of(Fate.COMMENTED)
    lines += [f"  {_commented(one)}" for one in commented[:MOST_SHOWN]]
    if len(commented) > MOST_SHOWN:
        lines.append(f"  ... and {len(commented) - MOST_SHOWN:,} more; --json lists all")
    return "\n".join([*lines, *(f"Note: {printable(remark)}." for remark in export.remarks)])


def _commented(one: Exported) -> str:
    return f"line {one.line}: {printable(one.name)}: {printable(one.reason)}"


def _shape(export: Export) -> dict[str, Any]:
    return {
        "source": export.source or None,
        "format": export.format.value,
        "account": export.account,
        "timezone": export.timezone,
        "schedules": [
            {"name": one.name, "line": one.line, "fate": one.fate.value, "reason": one.reason}
            for one in export.schedules
        ],
        "remarks": list(export.remarks),
        "text": _as_text(export.content),
    }


def _as_text(content: bytes) -> str | None:
    """None where it is not UTF-8, which JSON cannot hold: --output writes it."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
