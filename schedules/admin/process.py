"""Workers and beats in the admin: who is there, for how long it has been silent, what it does. Read-only."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from schedules import conf
from schedules.admin import presentation, queries, words
from schedules.admin.ansi import visible
from schedules.admin.filters import Filter
from schedules.admin.lists import UncountedChangeList
from schedules.models import Beat, Worker
from schedules.querysets import database_now

LATE_HEARTBEAT = 1.5
"""Heartbeats: after this long without one, the next is overdue. An idle process sends it up to 20 % late."""
OVERDUE = "Its heartbeat is overdue. It counts as gone, and what it executes as lost, when its lease is over."


class ProcessChangeList(UncountedChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = database_now()
        is_worker = self.model is Worker
        busy = queries.active_runs(row.pk for row in self.result_list) if is_worker else {}
        for row in self.result_list:
            row.read_at = now
            row.busy = busy.get(row.pk, 0)


class AliveFilter(Filter):
    title = "state"
    parameter_name = "is"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("there", "there"), ("silent", "silent"), ("stopped", "stopped")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since = database_now() - conf.current().lease
        if self.value() == "stopped":
            return queryset.filter(stopped_at__lte=F("seen_at"))
        if self.value() == "silent":
            missing = Q(stopped_at__isnull=True, seen_at__lt=since) | Q(stopped_at__gt=F("seen_at"))
            return queryset.filter(missing)
        return queryset.filter(stopped_at__isnull=True, seen_at__gte=since) if self.value() else queryset


class ProcessAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display_links = None
    list_filter = (AliveFilter,)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-seen_at", "-pk")
    sortable_by = ()
    actions = None
    change_list_template = "schedules/admin/run_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ProcessChangeList]:
        return ProcessChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="State")
    def state(self, row: Any) -> SafeString:
        return state_pill(row, row.read_at)

    @admin.display(description="Name")
    def title(self, row: Any) -> SafeString:
        return presentation.name(row.name)

    @admin.display(description="Host and process")
    def place(self, row: Any) -> SafeString:
        parent = getattr(row, "parent_pid", None)
        of = f", child of {parent}" if parent else ""
        return format_html("{} <small>pid {}{}</small>", presentation.name(row.host), row.pid, of)

    @admin.display(description="Last heard of")
    def age(self, row: Any) -> SafeString:
        return presentation.moment(row.seen_at, row.read_at)

    @admin.display(description="Started")
    def began(self, row: Any) -> SafeString:
        return presentation.moment(row.started_at, row.read_at)


@admin.register(Worker)
class WorkerAdmin(ProcessAdmin):
    list_display = ("state", "title", "place", "serves", "account", "pool", "executes", "age", "began")
    empty_words = format_html(
        "No worker is on record: nothing is executed. <code>{}</code> starts everything on one machine; "
        "by itself: <code>{}</code>",
        "manage.py up",
        "celery -A scheduler worker -Q commands -P threads",
    )

    @admin.display(description="Queues")
    def serves(self, row: Worker) -> str:
        return visible(row.queues.replace(",", ", ") or "–")

    @admin.display(description="Executes")
    def executes(self, row: Any) -> SafeString:
        if not row.busy:
            return presentation.quiet("nothing")
        runs = "1 run" if row.busy == 1 else f"{row.busy} runs"
        return format_html('<a href="../run/?worker={}&state=running">{}</a>', row.pk, runs)


@admin.register(Beat)
class BeatAdmin(ProcessAdmin):
    list_display = ("state", "title", "place", "progress", "age", "began")
    empty_words = format_html(
        "No beat is on record: nothing falls due. <code>{}</code> starts everything on one machine; "
        "by itself: <code>{}</code>",
        "manage.py up",
        "celery -A scheduler beat",
    )

    @admin.display(description="Last progress of its parts")
    def progress(self, row: Any) -> SafeString:
        ages = part_ages(row, row.read_at)
        shown = ((name, "bk-late" if late else "", f"{words.rough(age)} ago") for name, age, late in ages)
        return format_html_join("", '<span class="bk-part">{} <b class="{}">{}</b></span> ', shown)


def state_pill(row: Beat | Worker, now: datetime) -> SafeString:
    if row.stopped_at is not None and not row.vanished:
        return presentation.pill("stopped", "grey")
    if is_silent(row, now):
        return presentation.pill("silent", "bad", "No heartbeat for longer than its lease.")
    if any(late for _, _, late in part_ages(row, now)):
        return presentation.pill("stuck", "bad", "A part of it makes no progress.")
    if is_overdue(row, now):
        return presentation.pill(f"last heard of {words.relative(row.seen_at, now)}", "mended", OVERDUE)
    return presentation.pill("there", "good")


def is_silent(row: Beat | Worker, now: datetime) -> bool:
    """Dead, as far as anybody can tell."""
    return row.vanished or now - row.seen_at > conf.current().lease


def is_overdue(row: Beat | Worker, now: datetime) -> bool:
    """Its heartbeat has not come, but its lease is not over either: it may be dead, nobody knows yet."""
    heartbeat = timedelta(seconds=conf.current().heartbeat_seconds)
    return row.stopped_at is None and now - row.seen_at > heartbeat * LATE_HEARTBEAT


def part_ages(row: Beat | Worker, now: datetime) -> list[tuple[str, timedelta, bool]]:
    """Name, age of the last progress, and whether that is too long ago. Workers have no parts."""
    parts = row.parts if isinstance(row, Beat) else {}
    found = []
    for name, at in sorted(parts.items()):
        try:
            age = now - datetime.fromisoformat(at)
        except (TypeError, ValueError):
            continue
        found.append((visible(str(name)), age, age > conf.current().lease))
    return found
