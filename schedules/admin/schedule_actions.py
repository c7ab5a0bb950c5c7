"""What can be done to schedules by button or in bulk: run now, pause, resume, enable, disable, delete.

Everything goes through `catalog` and `operate`, which is also where deleting is soft. Every action
reports how many schedules it changed, and how many it did not and why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join

from schedules import catalog, operate
from schedules.admin import access, presentation, queries
from schedules.admin.ansi import visible
from schedules.admin.schedule_form import ScheduleFormPage
from schedules.admin.upcoming import UpcomingPage
from schedules.cutting_over.still import open_cut_overs, why_no_shadow
from schedules.errors import BeatkeeperError
from schedules.models import Run, Schedule
from schedules.rules.definition import Mode

BESIDE_CRON = (
    "cron still runs these lines, unless somebody took them out: both would run them. To move a line "
    "without doubling a minute: manage.py cut_over."
)


class ScheduleActions(UpcomingPage, ScheduleFormPage):
    """Addresses, bulk actions and the confirmation of a deletion."""

    actions = (
        "run_selected",
        "check_selected",  # of `command_check`
        "pause_selected",
        "resume_selected",
        "enable_selected",
        "disable_selected",
        "live_selected",
        "shadow_selected",
        "delete_selected",
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("preview/", wrap(self.preview_view), name="schedules_schedule_preview"),
            path("<int:pk>/run/", wrap(self.run_view), name="schedules_schedule_run"),
            path("<int:pk>/pause/", wrap(self.pause_view), name="schedules_schedule_pause"),
            path("<int:pk>/resume/", wrap(self.resume_view), name="schedules_schedule_resume"),
        ]
        return own + super().get_urls()

    @access.changes(access.RUN)
    def run_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._run(request, Schedule.objects.live().filter(pk=pk))
        return access.back_to(request, presentation.schedule_url(pk))

    @access.changes(access.PAUSE)
    def pause_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        note = request.POST.get("note", "")[:255]
        self._change(request, [pk], "paused", lambda pks, by: catalog.pause(pks, by=by, note=note))
        return access.back_to(request, presentation.schedule_url(pk))

    @access.changes(access.PAUSE)
    def resume_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        self._change(request, [pk], "resumed", lambda pks, by: catalog.resume(pks, by=by))
        return access.back_to(request, presentation.schedule_url(pk))

    def has_run_permission(self, request: HttpRequest) -> bool:
        return access.may(request, access.RUN)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return access.may(request, access.PAUSE)

    @admin.action(description="Run now", permissions=["run"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._run(request, queryset)

    @admin.action(description="Pause", permissions=["pause"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._change(request, _pks(queryset), "paused", lambda pks, by: catalog.pause(pks, by=by))

    @admin.action(description="Resume", permissions=["pause"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._change(request, _pks(queryset), "resumed", lambda pks, by: catalog.resume(pks, by=by))

    @admin.action(description="Enable", permissions=["pause"])
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._change(request, _pks(queryset), "enabled", lambda pks, by: catalog.enable(pks, by=by))

    @admin.action(description="Disable", permissions=["pause"])
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        self._change(request, _pks(queryset), "disabled", lambda pks, by: catalog.disable(pks, by=by))

    @admin.action(description="Make live", permissions=["pause"])
    def live_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        pks = _pks(queryset)
        moved = open_cut_overs(pks)
        rows = queryset.exclude(source="").exclude(pk__in=moved).filter(mode=Mode.SHADOW.value)
        beside_cron = list(rows.values_list("name", flat=True)[:5])
        self._change(request, pks, "made live", lambda pks, by: catalog.make_live(pks, by=by))
        if beside_cron:
            messages.warning(request, f"{BESIDE_CRON} {visible(', '.join(beside_cron))}")

    @admin.action(description="Make shadow", permissions=["pause"])
    def shadow_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        pks = _pks(queryset)
        moved = open_cut_overs(pks)
        left = [pk for pk in pks if pk not in moved]
        self._change(request, left, "made shadows", lambda pks, by: catalog.make_shadow(pks, by=by))
        _report_refusals(request, [f'"{row.name}": {why_no_shadow(row)}' for row in moved.values()])

    @admin.action(description="Delete …", permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> HttpResponse | None:
        if request.POST.get("confirmed"):
            self._delete(request, _pks(queryset))
            return None
        return self._confirmation(request, queryset)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page of the schedule has it."""
        page = presentation.schedule_url(_number(object_id))
        return HttpResponseRedirect(f"{page}#history")

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        found = Schedule.objects.live().filter(pk=_number(object_id))
        row = found.first()
        if row is None:
            return access.not_there(self, request, object_id)
        if not self.has_delete_permission(request, row):
            raise PermissionDenied
        if request.method == "POST":
            self._delete(request, [row.pk])
            return HttpResponseRedirect(reverse("admin:schedules_schedule_changelist"))
        return self._confirmation(request, found)

    def _confirmation(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> TemplateResponse:
        shown = list(queryset.order_by("name")[:100])
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete schedules" if len(shown) > 1 else "Delete this schedule",
            "opts": self.opts,
            "schedules": [visible(row.name) for row in shown],
            "selected": _pks(queryset),
            "single": request.method == "GET",
            "active": queries.active_count(_pks(queryset)),
        }
        return TemplateResponse(request, "schedules/admin/schedule_delete.html", context)

    def _delete(self, request: HttpRequest, pks: list[int]) -> None:
        count = catalog.delete(pks, by=access.author(request))
        messages.success(request, f"{_schedules(count)} deleted. The history of runs stays.")

    def _run(self, request: HttpRequest, queryset: QuerySet[Schedule]) -> None:
        started: list[Run] = []
        refused: list[str] = []
        for row in queryset.order_by("name"):
            try:
                started.append(operate.run_now(row, by=access.author(request)))
            except BeatkeeperError as error:
                refused.append(str(error))
        if started:
            links = format_html_join(
                ", ", "{}", ((presentation.run_link(r, f"run {r.pk}"),) for r in started[:5])
            )
            messages.success(request, format_html("{} started: {}.", _schedules(len(started)), links))
        _report_refusals(request, refused)

    def _change(
        self,
        request: HttpRequest,
        pks: list[int],
        verb: str,
        change: Callable[[Collection[int], str], list[Schedule]],
    ) -> None:
        """Reports how many changed, how many were like that already, and which cannot be used."""
        live = _pks(Schedule.objects.live().filter(pk__in=pks))
        changed = {row.pk for row in change(live, access.author(request))}
        rest = [row for row in queries.schedule_rows().filter(pk__in=live) if row.pk not in changed]
        refused = [f'"{visible(row.name)}": {row.timing_error}' for row in rest if row.timing_error]
        same = len(rest) - len(refused)
        if changed:
            messages.success(request, f"{_schedules(len(changed))} {verb}.")
        if same:
            messages.info(request, f"{_schedules(same)} not changed: {verb} already.")
        _report_refusals(request, refused)


def _report_refusals(request: HttpRequest, refused: list[str]) -> None:
    if refused:
        more = f" … and {len(refused) - 5} more" if len(refused) > 5 else ""
        reasons = visible(" ".join(refused[:5]))
        messages.error(request, f"{_schedules(len(refused))} refused. {reasons}{more}")


def _schedules(count: int) -> str:
    return "1 schedule" if count == 1 else f"{count} schedules"


def _pks(queryset: QuerySet[Schedule]) -> list[int]:
    return list(queryset.order_by("pk").values_list("pk", flat=True))


def _number(text: str) -> int:
    return int(text) if queries.is_key(text) else 0
