"""The page that says why a run did, did not or will not happen at a moment. By GET only, without scripts.

`explaining` finds the reasons; here is how they look. A schedule that was deleted can be asked about too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from schedules.admin import access, presentation
from schedules.admin.ansi import visible
from schedules.admin.lists import RowsAdmin
from schedules.errors import TimingError
from schedules.explaining import flow as explaining
from schedules.explaining.explanation import Verdict
from schedules.models import Schedule

MOST_TYPED = 60
_TONES = {
    Verdict.RAN: "good",
    Verdict.WILL_RUN: "good",
    Verdict.RUNNING: "busy",
    Verdict.SENT: "sent",
    Verdict.RETRYING: "mended",
    Verdict.PAUSED: "mended",
    Verdict.FAILED: "bad",
    Verdict.MISSING: "bad",
    Verdict.UNDECIDED: "bad",
    Verdict.SET_ASIDE: "bad",
}


class ExplainPage(RowsAdmin):
    """What the class of the schedules' pages needs for it."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.explain_view)
        return [path("<int:pk>/explain/", view, name="schedules_schedule_explain"), *super().get_urls()]

    def explain_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not (self.has_view_or_change_permission(request) and access.may(request, access.VIEW_RUN)):
            raise PermissionDenied
        schedule = Schedule.objects.select_related("revision").filter(pk=pk).first()
        if schedule is None:
            return access.not_there(self, request, str(pk))
        typed = request.GET.get("at", "")[:MOST_TYPED]
        context = {
            **self.admin_site.each_context(request),
            "title": "",
            "opts": self.opts,
            "schedule": schedule,
            "name": presentation.name(schedule.given_name),
            "typed": visible(typed),
            **_answer(schedule, typed),
        }
        return TemplateResponse(request, "schedules/admin/explain.html", context)


def _answer(schedule: Schedule, typed: str) -> dict[str, Any]:
    try:
        found = explaining.explain(schedule, at=typed)
    except TimingError as error:
        return {"problem": visible(str(error)), "zone": explaining.explain(schedule).zone}
    return {
        "zone": found.zone,
        "pill": presentation.pill(found.verdict.replace("_", " "), _TONES.get(found.verdict, "grey")),
        "sentence": visible(found.sentence),
        "facts": [(fact.label, visible(fact.text), _run_url(fact.run_id)) for fact in found.facts],
        "run_url": _run_url(found.run_id),
        "run_id": found.run_id,
        "before": explain_url(schedule.pk, found.before.astimezone(found.zone)) if found.before else "",
        "after": explain_url(schedule.pk, found.after.astimezone(found.zone)) if found.after else "",
    }


def explain_url(pk: int, at: datetime | None = None) -> str:
    """The page for a schedule, and for one of its instants."""
    page = reverse("admin:schedules_schedule_explain", args=[pk])
    return f"{page}?{urlencode({'at': at.isoformat()})}" if at else page


def _run_url(run_id: int | None) -> str:
    return presentation.run_url(run_id) if run_id else ""
