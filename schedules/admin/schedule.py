"""The list of schedules: what failed, what is late, what is next, without a click.

What can be done to them is in `schedule_actions`, the page of one in `schedule_form`, the reads in
`queries`.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from schedules.admin import access, presentation, queries, timings, words
from schedules.admin.ansi import visible
from schedules.admin.command_check import CommandChecks
from schedules.admin.explain import ExplainPage
from schedules.admin.filters import (
    KindFilter,
    LastOutcomeFilter,
    ModeFilter,
    QueueFilter,
    StateFilter,
    TagFilter,
)
from schedules.admin.lists import TimedChangeList
from schedules.admin.schedule_actions import ScheduleActions
from schedules.admin.schedule_form import mode_pill
from schedules.cutting_over.still import open_cut_overs
from schedules.models import Schedule


class ScheduleChangeList(TimedChangeList):
    def rows(self) -> list[Schedule]:
        return queries.schedules_on_page(list(self.result_list.values_list("pk", flat=True)))

    def complete(self, rows: list[Schedule]) -> None:
        pks = [row.pk for row in rows]
        found, checks = queries.last_runs(pks, presentation.STRIP), queries.command_checks(pks)
        moved = open_cut_overs(pks)
        for row in rows:
            row.last_runs = found.get(row.pk, [])
            row.checks = checks.get(row.pk, [])
            row.is_cut_over = row.pk in moved
            row.list_url = self.list_url
            row.may = self.may

    def get_results(self, request: HttpRequest) -> None:
        self.list_url = request.get_full_path()
        self.may = {"run": access.may(request, access.RUN), "pause": access.may(request, access.PAUSE)}
        super().get_results(request)


@admin.register(Schedule)
class ScheduleAdmin(ExplainPage, CommandChecks, ScheduleActions):
    list_display = (
        *("state", "title", "timing", "next_run", "last_outcome", "recent", "command_check"),
        "buttons",
    )
    list_display_links = None
    list_filter = (StateFilter, ModeFilter, LastOutcomeFilter, KindFilter, TagFilter, QueueFilter)
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ("name", "command", "task", "tags")
    search_help_text = "Name, command, task or tag"
    ordering = ("name",)
    change_list_template = "schedules/admin/plain_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ScheduleChangeList]:
        return ScheduleChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        return queries.schedule_rows()

    @admin.display(description="State")
    def state(self, row: Any) -> SafeString:
        found = presentation.health(row, row.read_at)
        why = format_html(' <small class="bk-why">{}</small>', visible(words.first_line(found.why, 90)))
        shown = found.word in ("paused", "not usable")
        pill = presentation.pill(found.word, found.tone, found.why)
        return format_html("{} {}{}", pill, mode_pill(row, is_cut_over=row.is_cut_over), why if shown else "")

    @admin.display(description="Schedule", ordering="name")
    def title(self, row: Schedule) -> SafeString:
        what = row.command if row.kind == "command" else row.task
        tags = format_html_join(
            " ", '<span class="bk-tag">{}</span>', ((visible(t),) for t in row.tags.split())
        )
        return format_html(
            '<a class="bk-title" href="{}">{}</a> {}<code class="bk-what" title="{}">{}</code>',
            presentation.schedule_url(row.pk),
            presentation.name(row.name),
            tags,
            visible(what[:500]),
            visible(words.first_line(what, 70)),
        )

    @admin.display(description="When")
    def timing(self, row: Schedule) -> SafeString:
        typed = timings.shown(row)
        said = timings.in_words(row)
        return format_html(
            '<code>{}</code> <small class="bk-line">{}</small> <small class="bk-line bk-quiet">{}</small>',
            visible(typed.when),
            visible(said if said != typed.when else ""),
            visible(typed.timezone),
        )

    @admin.display(description="Next run", ordering=F("next_run_at").asc(nulls_last=True))
    def next_run(self, row: Any) -> SafeString:
        return presentation.moment(row.next_run_at, row.read_at, timings.shown(row).timezone)

    @admin.display(description="Last outcome")
    def last_outcome(self, row: Any) -> SafeString:
        ended = [run for run in row.last_runs if run.is_final or run.is_retrying]
        if not ended:
            return presentation.nothing()
        last = ended[-1]
        if last.is_retrying:
            age = f"next attempt {words.relative(last.available_at, row.read_at)}"
        else:
            age = words.relative(last.finished_at or last.scheduled_for, row.read_at)
        return format_html(
            '<a href="{}">{}</a> <small class="bk-line">{}</small>',
            presentation.run_url(last.pk),
            presentation.run_pill(last),
            age,
        )

    @admin.display(description="Last runs")
    def recent(self, row: Any) -> SafeString:
        return presentation.strip(row.last_runs)

    @admin.display(description="")
    def buttons(self, row: Any) -> SafeString:
        offered = [("Run now", "run")] if row.may["run"] and row.revision_id else []
        if row.may["pause"]:
            stopped = row.is_paused(row.read_at) or not row.enabled
            offered.append(("Resume", "resume") if stopped else ("Pause", "pause"))
        shown = (
            (presentation.button(text, self.address(row.pk, verb), next_url=row.list_url, subject=row.name),)
            for text, verb in offered
        )
        return format_html('<span class="bk-buttons">{}</span>', format_html_join("", "{}", shown))

    @staticmethod
    def address(pk: int, verb: str) -> str:
        return reverse(f"admin:schedules_schedule_{verb}", args=[pk])
