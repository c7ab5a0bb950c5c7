"""The runs in the admin: their list, the page of one run with its attempts, and what can be done to it.

Runs and attempts are a record: nothing here edits one. The buttons call `operate`; the reads are in
`queries`, and what the page says is put together in `run_page`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules import operate
from schedules.admin import access, presentation, queries, run_page, words
from schedules.admin.ansi import visible, without_sequences
from schedules.admin.explain import explain_url
from schedules.admin.filters import DueFilter, RunStateFilter, TriggerFilter
from schedules.admin.lists import RowsAdmin, show_page
from schedules.admin.paging import Place, page_of, streams_of
from schedules.errors import BeatkeeperError
from schedules.models import Attempt, AttemptOutput, Run
from schedules.querysets import database_now
from schedules.rules.states import BY_THE_CLOCK

REFRESH_SECONDS = 5
"""How often the page of a run that is not over asks for itself again."""


class RunChangeList(ChangeList):
    """A page beside a key: `?before=` and `?after=` in the address. A fixed number of queries."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.place = _taken_place(request)
        super().__init__(request, *args, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        asked = {name: values[-1] for name, values in self.filter_params.items() if values[-1]}
        runs, named = self.queryset, None
        if self.query:
            runs, named = queries.of_schedules_named(runs, self.query)
        self.page = page_of(runs, streams_of(asked, named), self.place, size=self.list_per_page)
        self.result_list = list(queries.run_rows().filter(pk__in=self.page.keys).order_by("-pk"))
        self.looked_back_to = queries.created_at(self.page.looked_at) if self.page.looked_at else None
        show_page(self, request)
        now = database_now()
        self.of_schedule = queries.schedule_name(request.GET.get("schedule", ""))
        last = queries.last_attempts(self.result_list)
        for run in self.result_list:
            run.read_at = now
            run.last_attempt = last.get(run.pk)

    @property
    def newest_url(self) -> str:
        return self.get_query_string() if self.page.newer is not None else ""

    @property
    def newer_url(self) -> str:
        return "" if self.page.newer is None else self.get_query_string({"after": self.page.newer})

    @property
    def older_url(self) -> str:
        return "" if self.page.older is None else self.get_query_string({"before": self.page.older})


def _taken_place(request: HttpRequest) -> Place:
    """Taken out of the address, so that a filter that is chosen next begins at the top again."""
    given = request.GET.copy()
    keys = {name: given.pop(name)[-1] for name in ("before", "after") if name in given}
    request.GET = given  # type: ignore[assignment]  # as Django's own admin does with what it understood
    numbers = {name: int(text) for name, text in keys.items() if queries.is_key(text)}
    return Place(after=numbers["after"]) if "after" in numbers else Place(before=numbers.get("before"))


@admin.register(Run)
class RunAdmin(RowsAdmin):
    list_display = (
        "due",
        "title",
        "trigger_words",
        "state_pill",
        "attempts_badge",
        "late",
        "took",
        "ended",
        "worker_name",
    )
    list_display_links = None
    list_filter = (RunStateFilter, TriggerFilter, DueFilter)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-id",)
    search_fields = ("name",)
    search_help_text = "Name of the schedule"
    sortable_by = ()
    change_list_template = "schedules/admin/run_list.html"
    actions = ("again_selected", "cancel_selected", "retry_selected")
    empty_words = (
        "There is no run yet. Each due instant of a schedule becomes one, and “Run now” beside it makes one."
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_run_permission(self, request: HttpRequest) -> bool:
        return access.may(request, access.RUN)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return access.may(request, access.CANCEL)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RunChangeList]:
        return RunChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return queries.run_rows()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Nothing here: the list looks for schedules of that name, and pages through their runs."""
        return queryset, False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """The filters; besides them, of one schedule or one worker, by a key that the column can hold."""
        if lookup in ("schedule", "worker"):
            return queries.is_key(value)
        return lookup in [offered.parameter_name for offered in self.list_filter]

    @admin.display(description="Due")
    def due(self, run: Any) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>',
            presentation.run_url(run.pk),
            presentation.moment(run.scheduled_for, run.read_at),
        )

    @admin.display(description="Schedule")
    def title(self, run: Run) -> SafeString:
        return format_html(
            '<a href="?schedule={}">{}</a>', run.schedule_id or "", presentation.name(run.name)
        )

    @admin.display(description="Trigger")
    def trigger_words(self, run: Run) -> SafeString:
        return format_html("{}", visible(words.trigger(run)))

    @admin.display(description="State")
    def state_pill(self, run: Any) -> SafeString:
        more = ""
        if run.is_retrying:
            more = f"next attempt {words.relative(run.available_at, run.read_at)}"
        elif run.reason:
            more = run.reason.replace("_", " ")
            if run.missed_count > 1:
                more += f", {run.missed_count:,} instants"
        line = format_html(' <small class="bk-line">{}</small>', visible(more)) if more else ""
        return format_html("{}{}", presentation.run_link(run, presentation.run_pill(run)), line)

    @admin.display(description="Attempts")
    def attempts_badge(self, run: Run) -> SafeString:
        return presentation.attempts_badge(run)

    @admin.display(description="Late")
    def late(self, run: Run) -> str:
        return words.lateness(run).removesuffix(" late") or presentation.nothing()

    @admin.display(description="Took")
    def took(self, run: Any) -> SafeString:
        if run.duration is None and run.state == "running" and run.started_at:
            return presentation.quiet(f"{words.length(run.read_at - run.started_at)} so far")
        return format_html("{}", words.length(run.duration)) if run.duration else presentation.nothing()

    @admin.display(description="Last attempt ended")
    def ended(self, run: Any) -> SafeString:
        said = words.ending(run.last_attempt) if run.last_attempt else ""
        return format_html('<span class="bk-error">{}</span>', visible(words.first_line(said, 90)))

    @admin.display(description="Worker")
    def worker_name(self, run: Any) -> SafeString:
        """Never wider than the column: the host under the name, and the whole of it as title.

        A worker of another codebase has no row here: its events named it.
        """
        whole = run.worker.name if run.worker else run.last_attempt.worker_name if run.last_attempt else ""
        if not whole:
            return presentation.nothing()
        name, at, host = whole.partition("@")
        return format_html(
            '<span class="bk-worker" title="{}"><bdi>{}</bdi><small class="bk-quiet">{}</small></span>',
            visible(whole),
            visible(name),
            visible(at + host),
        )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = [
            path("<int:pk>/again/", wrap(self.again_view), name="schedules_run_again"),
            path("<int:pk>/cancel/", wrap(self.cancel_view), name="schedules_run_cancel"),
            path("<int:pk>/retry/", wrap(self.retry_view), name="schedules_run_retry"),
            path("<int:pk>/output/<int:number>/", wrap(self.output_view), name="schedules_run_output"),
        ]
        return own + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        sees_output = access.may(request, access.OUTPUT)
        pk = int(object_id) if queries.is_key(object_id) else 0
        page = queries.run_page(pk, outputs=sees_output)
        if page is None:
            return access.not_there(self, request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": "",
            "opts": self.opts,
            **run_page.context(page, sees_output=sees_output),
            "buttons": self._buttons(request, page.run),
            "explain_url": _explain_url(request, page.run),
        }
        response = TemplateResponse(request, "schedules/admin/run.html", context)
        if not page.run.is_final and "still" not in request.GET:
            response.headers["Refresh"] = str(REFRESH_SECONDS)
        return response

    def _buttons(self, request: HttpRequest, run: Run) -> set[str]:
        """Those that fit the state of the run and the rights of the viewer."""
        found = set()
        if run.is_final and run.revision_id and access.may(request, access.RUN):
            found.add("again")
        if access.may(request, access.CANCEL):
            found |= {"cancel"} if not run.is_final and not run.cancel_requested else set()
            found |= {"retry"} if run.is_retrying else set()
        return found

    @access.changes(access.RUN)
    def again_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._acted(request, pk, lambda run: self._again(request, run))

    @access.changes(access.CANCEL)
    def cancel_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._acted(request, pk, lambda run: operate.cancel(run, by=access.author(request)))

    @access.changes(access.CANCEL)
    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._acted(request, pk, operate.retry_now)

    @staticmethod
    def _again(request: HttpRequest, run: Run) -> SafeString:
        fresh = operate.run_again(run, by=access.author(request))
        return format_html("Run {} repeats it.", presentation.run_link(fresh, str(fresh.pk)))

    def _acted(self, request: HttpRequest, pk: int, act: Callable[[Run], str]) -> HttpResponse:
        run = Run.objects.select_related("revision").filter(pk=pk).first()
        if run is None:
            return access.not_there(self, request, str(pk))
        try:
            messages.success(request, act(run))
        except BeatkeeperError as error:
            messages.error(request, visible(str(error)))
        return access.back_to(request, presentation.run_url(pk))

    @admin.action(description="Run again", permissions=["run"])
    def again_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, "repeated", lambda run: operate.run_again(run, by=access.author(request)))

    @admin.action(description="Cancel", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, "cancelled", lambda run: operate.cancel(run, by=access.author(request)))

    @admin.action(description="Retry now", permissions=["cancel"])
    def retry_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, "hastened", operate.retry_now)

    def _each(self, request: HttpRequest, verb: str, act: Callable[[Run], object]) -> None:
        """Acts on the chosen rows of this page; reports how many it did and which were refused, and why."""
        chosen = [pk for pk in request.POST.getlist("_selected_action") if pk.isdecimal()][
            : self.list_per_page
        ]
        done = 0
        refused = []
        for run in Run.objects.select_related("revision").filter(pk__in=chosen).order_by("pk"):
            try:
                act(run)
                done += 1
            except BeatkeeperError as error:
                refused.append(str(error))
        if done:
            messages.success(request, f"{done} {'run' if done == 1 else 'runs'} {verb}.")
        if refused:
            messages.error(request, visible(f"{len(refused)} refused. {' '.join(refused[:5])}"))

    def output_view(self, request: HttpRequest, pk: int, number: int) -> HttpResponse:
        """What was kept of an attempt's output, as a file that no browser opens as a page."""
        if not (self.has_view_permission(request) and access.may(request, access.OUTPUT)):
            raise PermissionDenied
        attempt = Attempt.objects.filter(run=pk, number=number).first()
        output = AttemptOutput.objects.filter(attempt=attempt).first() if attempt else None
        text = output.text if output else ""
        plain = without_sequences(text) if "plain" in request.GET else text
        return HttpResponse(
            plain.encode("utf-8", "replace"),
            headers={
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Disposition": f'attachment; filename="run-{pk}-attempt-{number}.txt"',
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "default-src 'none'; sandbox",
            },
        )


def _explain_url(request: HttpRequest, run: Run) -> str:
    """Only runs by the clock have an instant that can be explained."""
    if run.schedule_id is None or run.trigger not in BY_THE_CLOCK:
        return ""
    may = access.may(request, "schedules.view_schedule") or access.may(request, "schedules.change_schedule")
    return explain_url(run.schedule_id, run.scheduled_for) if may else ""
