"""`manage.py next_runs`: when a schedule, or a cron expression, runs next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser

from schedules import catalog, revisions
from schedules.management.output import iso, local, printable, table
from schedules.management.script import ScriptCommand, usage_error
from schedules.management.shapes import state_of_schedule, timing_in_words, zone_of
from schedules.models import Schedule
from schedules.models.schedule import FOREVER
from schedules.querysets import database_now
from schedules.rules import timing, wording
from schedules.rules.cron import Dialect
from schedules.rules.cron.clock import Gap, Repeat
from schedules.rules.timing import CronTiming, Timing

MOST = 10_000


class Command(ScriptCommand):
    help = "Show the next runs of a schedule, or of a cron expression."

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", nargs="?", default="", help="a schedule")
        parser.add_argument("--cron", metavar="EXPR", help='an expression, such as "*/5 8-18 * * mon-fri"')
        parser.add_argument("--timezone", metavar="TZ", default="", help="with --cron: IANA name")
        parser.add_argument(
            "--dialect", metavar="D", help=f"with --cron: {', '.join(Dialect)} (default cron)"
        )
        parser.add_argument(
            "--gap", choices=[gap.value for gap in Gap], help="with --cron: times that the clocks skip"
        )
        parser.add_argument(
            "--repeat", choices=[repeat.value for repeat in Repeat], help="with --cron: times shown twice"
        )
        parser.add_argument(
            "--seed", metavar="NAME", help="with --cron: the schedule whose H and ~ are meant"
        )
        parser.add_argument("--count", metavar="N", type=int, default=5, help="how many (default 5)")

    def run(self, options: dict[str, Any]) -> None:
        _check(options)
        now = database_now()
        if options["name"]:
            self._show_schedule(catalog.find(options["name"]), options, now)
        else:
            self._show_expression(options, now)

    def _show_schedule(self, schedule: Schedule, options: dict[str, Any], now: datetime) -> None:
        when = revisions.timing_of(schedule)
        words, zone = timing_in_words(schedule), zone_of(schedule) or settings.TIME_ZONE
        state = state_of_schedule(schedule, now=now)
        start = max(now, schedule.paused_until) if schedule.paused_until else now
        why = _why_silent(schedule, state)
        runs = [] if why else list(_following(when, start, options["count"]))
        head = f"{printable(schedule.name)}: {_in_words(schedule.cron, words, zone)}"
        self._print(options, head, runs, zone, why or _why_none(words, runs, options["count"]))

    def _show_expression(self, options: dict[str, Any], now: datetime) -> None:
        zone = options["timezone"] or settings.TIME_ZONE
        CronTiming("* * * * *", zone)  # the zone is judged even where the expression needs none
        chosen = {name: options[name] or "" for name in ("gap", "repeat", "seed")}
        when = timing.from_cron_text(options["cron"], zone, options["dialect"] or "cron", **chosen)
        words = wording.describe(when)
        runs = list(_following(when, now, options["count"]))
        head = _in_words(options["cron"], words, zone)
        self._print(options, head, runs, zone, _why_none(words, runs, options["count"]))

    def _print(self, options: dict[str, Any], head: str, runs: list[datetime], zone: str, why: str) -> None:
        shapes = [
            {"scheduled_for": iso(run), "local": run.astimezone(ZoneInfo(zone)).isoformat(), "timezone": zone}
            for run in runs
        ]
        rows = [
            (
                f"{local(run, zone)} {run.astimezone(ZoneInfo(zone)):%a %Z}",
                f"{run.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            )
            for run in runs
        ]
        body = [table((zone, "UTC"), rows)] if rows else []
        self.show(options, shapes, "\n".join([head, *body, *([why] if why else [])]))
        if why and options["as_json"]:
            self.remark(why)


def _check(options: dict[str, Any]) -> None:
    if bool(options["name"]) == (options["cron"] is not None):
        raise usage_error("Give either the NAME of a schedule or --cron EXPR.")
    if options["name"] and options["timezone"]:
        raise usage_error("--timezone goes with --cron; a schedule has a zone of its own.")
    for option in ("dialect", "gap", "repeat", "seed"):
        if options["name"] and options[option]:
            raise usage_error(f"--{option} goes with --cron; a schedule has its own rules.")
    if not 1 <= options["count"] <= MOST:
        raise usage_error(f"--count is {options['count']}. Give a number from 1 to {MOST:,}.")


def _following(when: Timing, start: datetime, count: int) -> Iterator[datetime]:
    found = when.next_after(start)
    while found is not None and count > 0:
        yield found
        found, count = when.next_after(found), count - 1


def _in_words(cron: str, words: str, zone: str) -> str:
    return f"{printable(cron)}: {words} ({zone})" if cron else words


def _why_silent(schedule: Schedule, state: str) -> str:
    if state == "unusable":
        return f"Never runs: {schedule.timing_error}"
    if state == "disabled":
        return "Does not run: the schedule is disabled. To enable it: manage.py resume_schedule NAME"
    if state == "paused" and schedule.paused_until == FOREVER:
        return "Does not run: it is paused until somebody resumes it: manage.py resume_schedule NAME"
    return ""


def _why_none(words: str, runs: list[datetime], count: int) -> str:
    if runs:
        return "" if len(runs) == count else "No runs after that."
    if words.startswith("never: "):
        return f"Never runs: {words.removeprefix('never: ')}"
    return f"No run by the clock: it runs {words}."
