"""Which schedules a command is about: one by its name, or all with a tag or from a crontab."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.errors import UnknownSchedule
from schedules.management.output import printable
from schedules.management.script import usage_error
from schedules.models import Schedule


def add_selection(parser: CommandParser) -> None:
    """NAME, `--tag` and `--source`; exactly one of them must be given (`selected` checks that)."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="a schedule")
    parser.add_argument("--tag", metavar="T", default="", help="instead of NAME: all with this tag")
    parser.add_argument(
        "--source", metavar="FILE", default="", help="instead of NAME: all imported from this crontab"
    )


def names_many(options: dict[str, Any]) -> bool:
    """True where the answer is a list, however many schedules there are."""
    return not options["name"]


def selected(options: dict[str, Any]) -> list[Schedule]:
    """By name, never empty. Raises UnknownSchedule, or Error where the choice is not clear."""
    given = [option for option in ("name", "tag", "source") if options[option]]
    if len(given) != 1:
        raise usage_error("Give a NAME, or --tag T, or --source FILE, and only one of them.")
    if options["name"]:
        return [catalog.find(options["name"])]
    rows = Schedule.objects.live().order_by("name")
    if options["source"]:
        found = list(rows.filter(source=options["source"]))
    else:
        found = [row for row in rows if options["tag"] in row.tags.split()]
    if not found:
        what = f'tag "{options["tag"]}"' if options["tag"] else f'source "{options["source"]}"'
        raise UnknownSchedule(
            f"There is no schedule with the {printable(what)}. See: manage.py list_schedules"
        )
    return found
