"""Comparisons with cron's log: the list, and the page of one. Read-only; `compare_cron` makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import BooleanField, F, Func, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules.admin import access, presentation, queries, words
from schedules.admin.ansi import visible
from schedules.admin.lists import UncountedChangeList
from schedules.models import CronComparison, Schedule
from schedules.querysets import database_now

MOST_SHOWN = 1000
"""Rows of one table: a page stays readable, and the command's --json has all."""


class BothRan(Func):
    """Whether a line of the result was run by both. Asked in the database: a result may be megabytes."""

    output_field = BooleanField()
    template = "EXISTS (SELECT 1 FROM json_each(%(expressions)s) WHERE json_extract(value, '$.both_ran') > 0)"

    def __init__(self) -> None:
        super().__init__(F("result"))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "jsonb_path_exists(%(expressions)s, '$[*] ? (@.both_ran > 0)')"
        return self.as_sql(compiler, connection, template=template, **context)


class ComparisonChangeList(UncountedChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        now = database_now()
        for row in self.result_list:
            row.read_at = now


@admin.register(CronComparison)
class CronComparisonAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("outcome", "made", "window", "matched", "only_cron", "only_us", "log_name", "compared_by")
    list_display_links = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-pk",)
    sortable_by = ()
    actions = None
    empty_words = format_html(
        "Nothing was compared yet. While cron runs the lines and Beatkeeper their shadows, <code>{}</code> "
        "says whether both would start the same, and the result stays here.",
        "manage.py compare_cron --log /var/log/syslog",
    )
    change_list_template = "schedules/admin/run_list.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ComparisonChangeList]:
        return ComparisonChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[CronComparison]:
        rows: QuerySet[CronComparison] = CronComparison.objects.defer("result").annotate(both_ran=BothRan())
        return rows

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Outcome")
    def outcome(self, row: Any) -> SafeString:
        return format_html('<a href="{}/change/">{}</a>', row.pk, outcome_pill(row, both_ran=row.both_ran))

    @admin.display(description="Compared")
    def made(self, row: Any) -> SafeString:
        return presentation.moment(row.compared_at, row.read_at)

    @admin.display(description="Watched by both")
    def window(self, row: CronComparison) -> SafeString:
        return format_html(
            '{} to {} <small class="bk-line bk-quiet">{}</small>',
            presentation.instant(row.since),
            presentation.instant(row.until),
            words.length(row.until - row.since),
        )

    @admin.display(description="Log")
    def log_name(self, row: CronComparison) -> str:
        return visible(row.log)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = object_id or ""
        row = CronComparison.objects.filter(pk=int(wanted)).first() if queries.is_key(wanted) else None
        if row is None:
            return access.not_there(self, request, str(object_id))
        context = {
            **self.admin_site.each_context(request),
            "title": "",
            "heading": f"Comparison with {visible(row.log)}",
            "opts": self.opts,
            "row": row,
            "pill": outcome_pill(row, both_ran=any(line.get("both_ran") for line in row.result)),
            "length": words.length(row.until - row.since),
            "now": database_now(),
            **_tables(row),
        }
        return TemplateResponse(request, "schedules/admin/comparison.html", context)


def outcome_pill(row: CronComparison, *, both_ran: bool) -> SafeString:
    if both_ran:
        return presentation.pill("run by both", "bad", "cron and Beatkeeper both ran it: twice.")
    if row.only_cron or row.only_us:
        return presentation.pill("different", "bad")
    return presentation.pill("equal", "good") if row.matched else presentation.pill("nothing", "grey")


def _tables(row: CronComparison) -> dict[str, Any]:
    """The lines in three groups, those that differ first. One query, for the links."""
    known = [line for line in row.result if line["schedule"]]
    there = set(
        Schedule.objects.live().filter(pk__in=[line["id"] for line in known]).values_list("pk", flat=True)
    )
    shown = [_shown(line, line["id"] in there) for line in known]
    unknown = [line for line in row.result if not line["schedule"]]
    return {
        "groups": [
            ("Different", [it for it in shown if it["differs"]][:MOST_SHOWN]),
            ("Equal", [it for it in shown if not it["differs"] and it["matched"]][:MOST_SHOWN]),
            (
                "Nothing to compare",
                [it for it in shown if not it["differs"] and not it["matched"]][:MOST_SHOWN],
            ),
        ],
        "unknown": [line | {"command": words.first_line(line["command"], 200)} for line in unknown],
    }


def _shown(line: dict[str, Any], is_there: bool) -> dict[str, Any]:
    return line | {
        "url": presentation.schedule_url(line["id"]) if is_there else "",
        "differs": line["only_cron"] or line["only_us"] or line.get("both_ran"),
        "place": f"{line['source']}:{line['line']}" if line["source"] else "",
        "p50": _seconds(line["drift_p50"]),
        "most": _seconds(line["drift_max"]),
        "cron_at": [datetime.fromisoformat(at) for at in line["first_only_cron"]],
        "us_at": [datetime.fromisoformat(at) for at in line["first_only_us"]],
    }


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f} s"
