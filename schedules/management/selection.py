"""Which schedules a command is about: a choice that may be left out (all), or one that must be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from schedules import catalog
from schedules.errors import UnknownSchedule
from schedules.management.output import printable
from schedules.management.script import usage_error
from schedules.models import Schedule

RELATED = ("interval", "crontab", "clocked", "solar", "retry_policy", "revision")


def add_selection(parser: CommandParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="schedules (default: all)")
    parser.add_argument("--tag", metavar="T", default="", help="only those with this tag")


def chosen(names: Sequence[str], tag: str) -> list[Schedule]:
    """Live schedules in the order of their names. Raises UnknownSchedule for a name that nothing has."""
    if names and tag:
        raise usage_error("Give names or --tag, not both.")
    rows = Schedule.objects.live().select_related(*RELATED).order_by("name")
    if names:
        found = {row.name: row for row in rows.filter(name__in=names)}
        return [found.get(name) or catalog.find(name) for name in dict.fromkeys(names)]
    tagged = [row for row in rows if not tag or tag in row.tags.split()]
    if tag and not tagged:
        raise UnknownSchedule(f'No schedule has the tag "{tag}". All tags: manage.py list_schedules')
    return tagged


def add_target(parser: CommandParser) -> None:
    """NAME, `--tag` or `--source`: exactly one of them must be given; `targets` checks that."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="a schedule")
    parser.add_argument("--tag", metavar="T", default="", help="instead of NAME: all with this tag")
    parser.add_argument(
        "--source", metavar="FILE", default="", help="instead of NAME: all imported from this crontab"
    )


def names_many(options: dict[str, Any]) -> bool:
    """True where the answer is a list, however many schedules there are."""
    return not options["name"]


def targets(options: dict[str, Any]) -> list[Schedule]:
    """By name, never empty. Raises UnknownSchedule, or Error where the choice is not clear."""
    given = [option for option in ("name", "tag", "source") if options[option]]
    if len(given) != 1:
        raise usage_error("Give a NAME, or --tag T, or --source FILE, and only one of them.")
    if options["name"]:
        return [catalog.find(options["name"])]
    if options["tag"]:
        return chosen((), options["tag"])
    found = list(Schedule.objects.live().filter(source=options["source"]).order_by("name"))
    if not found:
        raise UnknownSchedule(
            f'No schedule was imported from "{printable(options["source"])}". '
            "What each came from: manage.py list_schedules"
        )
    return found
