"""Could the workers run this command? The list's column, the page's panel, and the request to look again.

What was found is read from rows that workers wrote (`checking.work`); a page never waits for a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules.admin import access, presentation, queries, words
from schedules.admin.ansi import visible
from schedules.admin.schedule_form import ScheduleFormPage
from schedules.checking import flow as checking
from schedules.checking.subject import by_queue, command_definition, digest_of
from schedules.errors import BeatkeeperError
from schedules.models import CommandCheck, Schedule
from schedules.rules.command.findings import OK, SEVERITY, Level, result

_TONES = {Level.ERROR.value: "bad", Level.WARNING.value: "mended", Level.NOTE.value: "grey", OK: "good"}


@dataclass(frozen=True)
class Standing:
    """What the checks come to: a word, its tone, and the worst sentence."""

    word: str
    tone: str
    why: str = ""

    @property
    def pill(self) -> SafeString:
        return presentation.pill(self.word, self.tone, self.why)


def standing(schedule: Schedule, checks: Sequence[CommandCheck]) -> Standing | None:
    """Worst worker first. Expects `is_there` of each check; None for what is no command.

    A worker that is gone counts only where no other has looked.
    """
    definition = command_definition(schedule)
    if definition is None:
        return None
    counted = [check for check in checks if getattr(check, "is_there", True)] or checks
    if not counted:
        return Standing("not checked", "plain")
    fresh = [check for check in counted if check.digest == digest_of(definition)]
    if not fresh:
        return Standing("outdated", "grey", "It has been changed since a worker looked at it.")
    worst = min(fresh, key=lambda check: SEVERITY[result(check.findings)])
    word = result(worst.findings)
    said = next((str(each.get("text")) for each in worst.findings if each.get("level") == word), "")
    return Standing(word, _TONES[word], said)


class CommandChecks(ScheduleFormPage):
    """What the class of the schedules' pages needs for it."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.check_view)
        return [path("<int:pk>/check/", view, name="schedules_schedule_check"), *super().get_urls()]

    @admin.display(description="Command")
    def command_check(self, row: Any) -> SafeString:
        found = standing(row, row.checks)
        if found is None:
            return presentation.nothing()
        if found.word == "not checked":
            return presentation.quiet(found.word)
        return format_html(
            '<a href="{}#check">{}</a> <small class="bk-why">{}</small>',
            presentation.schedule_url(row.pk),
            found.pill,
            visible(words.first_line(found.why, 70)) if found.tone in ("bad", "mended") else "",
        )

    @admin.action(description="Check commands now", permissions=["run"])
    def check_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        _ask(request, queryset)

    @access.changes(access.RUN)
    def check_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        _ask(request, Schedule.objects.live().filter(pk=pk))
        return access.back_to(request, f"{presentation.schedule_url(pk)}#check")

    def _page(
        self, request: HttpRequest, schedule: Schedule, form: Any, *, editable: bool
    ) -> TemplateResponse:
        page = super()._page(request, schedule, form, editable=editable)
        stored = (page.context_data or {}).get("schedule")
        if stored is not None and page.context_data is not None:
            page.context_data["command_check"] = panel(stored, form.now)
        return page


def panel(schedule: Schedule, now: datetime) -> dict[str, Any] | None:
    """What the page of one schedule shows. One query; None for what is no command."""
    checks = queries.command_checks([schedule.pk]).get(schedule.pk, [])
    found = standing(schedule, checks)
    definition = command_definition(schedule)
    if found is None or definition is None:
        return None
    digest = digest_of(definition)
    return {
        "standing": found,
        "address": reverse("admin:schedules_schedule_check", args=[schedule.pk]),
        "checks": [_shown(check, now, is_outdated=check.digest != digest) for check in checks],
    }


def _shown(check: CommandCheck, now: datetime, *, is_outdated: bool) -> dict[str, Any]:
    word = result(check.findings)
    findings = sorted(check.findings, key=lambda each: SEVERITY.get(each.get("level"), len(SEVERITY)))
    return {
        "pill": presentation.pill(word, _TONES[word]),
        "worker": presentation.name(check.worker_name),
        "account": presentation.name(check.account),
        "moment": presentation.moment(check.checked_at, now),
        "is_outdated": is_outdated,
        "is_there": getattr(check, "is_there", True),
        "findings": [_finding(each) for each in findings],
    }


def _finding(found: dict[str, Any]) -> dict[str, Any]:
    level = str(found.get("level", ""))
    return {
        "pill": presentation.pill(level, _TONES.get(level, "grey")),
        "text": visible(str(found.get("text", ""))),
        "advice": visible(str(found.get("advice", ""))),
    }


def _ask(request: HttpRequest, schedules: QuerySet[Schedule]) -> None:
    asked = by_queue(schedules.select_related("revision"))
    count = sum(map(len, asked.values()))
    if not count:
        messages.info(request, "There is no command among them: Celery tasks are not looked at.")
        return
    try:
        workers = checking.ask_without_waiting(asked)
    except BeatkeeperError as error:
        messages.error(request, visible(str(error)))
        return
    commands = "this command" if count == 1 else f"{count} commands"
    if workers:
        text = f"The workers have been asked to look at {commands}. Reload the page in a moment."
        messages.success(request, text)
    else:
        messages.warning(request, f"No worker serves the queue of {commands}: nobody will look.")
