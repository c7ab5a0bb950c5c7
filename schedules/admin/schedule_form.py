"""The page of one schedule: its header, its form with a preview, and the history of its changes.

What the form asks and refuses is in `forms`; the buttons of the header lead to `schedule`. Nothing
fires because of a save: the page says when the next run is.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules.admin import access, changes, presentation, queries, words
from schedules.admin.ansi import visible
from schedules.admin.form_layout import groups
from schedules.admin.forms import LOCKS, EditedMeanwhile, ScheduleForm
from schedules.admin.lists import RowsAdmin
from schedules.admin.preview_form import PREVIEWED, PreviewForm, cron_complaint
from schedules.admin.timings import Preview
from schedules.cutting_over.still import command, open_cut_overs
from schedules.errors import BeatkeeperError, CronError
from schedules.models import Schedule
from schedules.querysets import database_now
from schedules.rules.definition import Mode

SHADOW = "It records what would start, and starts nothing but what somebody runs by hand."
RUN_BY_NOBODY = "Its line was cut over and it is a shadow: neither cron nor Beatkeeper runs it."
_NOT_COPIED = ("name", "start_time", "expires", "enabled")


class ScheduleFormPage(RowsAdmin):
    """The form's views; the list and its actions are added in `schedule`."""

    empty_words = format_html(
        "There is no schedule yet. Add one, or import a crontab: <code>{}</code> shows what it would do, and "
        "without <code>--dry-run</code> does it.",
        "manage.py import_crontab FILE --dry-run",
    )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        schedule = self._asked_for(request, object_id)
        if schedule is None:
            return access.not_there(self, request, str(object_id))
        editable = self._may_edit(request, schedule)
        sent = request.method == "POST"
        if sent and not editable:
            raise PermissionDenied
        form = self._form(request, schedule, request.POST if sent else None)
        if sent and form.is_valid() and "_preview" not in request.POST:
            response = self._saved(request, form)
            if response is not None:
                return response
        if not sent:
            self._preview_unsent(form)
        return self._page(request, schedule, form, editable=editable)

    def _asked_for(self, request: HttpRequest, object_id: str | None) -> Schedule | None:
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return Schedule()
        schedule = queries.schedule(int(object_id)) if queries.is_key(object_id) else None
        if not self.has_view_or_change_permission(request, schedule):
            raise PermissionDenied
        return schedule

    def _may_edit(self, request: HttpRequest, schedule: Schedule) -> bool:
        if schedule.pk is None:
            return self.has_add_permission(request)
        return self.has_change_permission(request, schedule)

    def _form(self, request: HttpRequest, schedule: Schedule, data: Any) -> ScheduleForm:
        may = self._rights(request)
        initial = self._copied(request, may) if schedule.pk is None else {}
        return ScheduleForm(data, instance=schedule, may=may, initial=initial)

    def _rights(self, request: HttpRequest) -> dict[str, bool]:
        return {
            "run": access.may(request, access.RUN),
            "command": access.may(request, access.COMMAND),
            "timing": access.may(request, access.TIMING),
            "pause": access.may(request, access.PAUSE),
            "delete": self.has_delete_permission(request),
            "add": self.has_add_permission(request),
        }

    def _copied(self, request: HttpRequest, may: dict[str, bool]) -> dict[str, Any]:
        """What a new schedule begins with: nothing, or what the one to be duplicated has.

        A locked field is stored as it is shown, so it begins empty.
        """
        wanted = request.GET.get("copy", "")
        source = queries.schedule(int(wanted)) if queries.is_key(wanted) else None
        if source is None or not self.has_view_or_change_permission(request):
            return {}
        locked = [name for right, names in LOCKS.items() if not may[right] for name in names]
        shown = ScheduleForm(instance=source, may=may).initial
        copied = {name: value for name, value in shown.items() if name not in (*_NOT_COPIED, *locked)}
        return copied | {"name": f"{source.name[:190]} (copy)", "revision_seen": 0}

    def _saved(self, request: HttpRequest, form: ScheduleForm) -> HttpResponse | None:
        """Where to go after a save; None where it was refused and the form says why."""
        is_new = form.instance.pk is None
        try:
            saved, changed = form.store(by=access.author(request))
        except EditedMeanwhile as refusal:
            form.add_error(None, str(refusal))
            form.show_revision(refusal.revision.number)
            return None
        except CronError as error:
            form.add_error("when", cron_complaint(error))
            return None
        except BeatkeeperError as error:
            form.blame(error)
            return None
        except ValidationError as error:  # somebody took the name at the same moment
            form.add_error(None, error.messages)
            return None
        messages.success(request, _said(saved, is_new=is_new, changed=changed))
        if "_addanother" in request.POST:
            return HttpResponseRedirect(reverse("admin:schedules_schedule_add"))
        if "_list" in request.POST:
            return HttpResponseRedirect(reverse("admin:schedules_schedule_changelist"))
        return HttpResponseRedirect(presentation.schedule_url(saved.pk))

    @staticmethod
    def _preview_unsent(form: ScheduleForm) -> None:
        values = {name: form.initial.get(name) or "" for name in PREVIEWED}
        instance = form.instance
        asked = PreviewForm(values | {"start_time": instance.start_time, "expires": instance.expires})
        try:
            form.preview = asked.preview(now=form.now, anchor=instance.anchor_at)
        except BeatkeeperError:
            form.preview = None

    def _page(
        self, request: HttpRequest, schedule: Schedule, form: ScheduleForm, *, editable: bool
    ) -> TemplateResponse:
        stored = queries.schedule(schedule.pk) if schedule.pk and form.is_bound else schedule
        context = {
            **self.admin_site.each_context(request),
            "title": "",
            "opts": self.opts,
            "form": form,
            "groups": groups(form),
            "to_correct": [field for field in form if field.errors],
            "preview": form.preview,
            "editable": editable,
            "is_new": schedule.pk is None,
            "may": self._rights(request),
            "warnings": _warnings(schedule),
        }
        if stored is not None and stored.pk is not None:
            context |= _header(stored, form)
        if not editable:
            for field in form.fields.values():
                field.disabled = True
        return TemplateResponse(request, "schedules/admin/schedule_form.html", context)

    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """What the inputs mean, as a piece of HTML for the script that asks while somebody types."""
        if not (self.has_add_permission(request) or self.has_view_or_change_permission(request)):
            raise PermissionDenied
        preview: Preview | None = None
        problem = ""
        try:
            preview = PreviewForm(request.GET).preview(now=database_now())
        except CronError as error:
            problem = cron_complaint(error)
        except BeatkeeperError as error:
            problem = str(error)
        context = {"preview": preview, "problem": visible(problem)}
        return TemplateResponse(request, "schedules/admin/preview.html", context)


def _header(schedule: Schedule, form: ScheduleForm) -> dict[str, Any]:
    """What the page says of a schedule that exists already."""
    now = form.now
    runs = queries.last_runs([schedule.pk], presentation.STRIP).get(schedule.pk, [])
    ended = [run for run in runs if run.is_final or run.is_retrying]
    zone = form.initial["timezone"]
    cut_over = open_cut_overs([schedule.pk]).get(schedule.pk)
    return {
        "schedule": schedule,
        "name": presentation.name(schedule.name),
        "state": presentation.health_pill(schedule, now),
        "shadow": mode_pill(schedule, is_cut_over=cut_over is not None),
        "cut_over": cut_over,
        "repairs": [command(cut_over, undo=undo) for undo in (False, True)] if cut_over else [],
        "health": presentation.health(schedule, now),
        "stopped": schedule.is_paused(now) or not schedule.enabled,
        "next_run": presentation.moment(schedule.next_run_at, now, zone),
        "last": _last(ended[-1], now) if ended else presentation.quiet("no run is over yet"),
        "strip": presentation.strip(runs),
        "history": changes.lines(queries.history(schedule.pk), shown=queries.SHOWN_REVISIONS),
        "source": f"{schedule.source}:{schedule.source_line}" if schedule.source else "",
        "mail_to": visible(schedule.mail_to),
    }


def mode_pill(schedule: Schedule, *, is_cut_over: bool) -> SafeString | str:
    """ "shadow", or that its line was taken out of the crontab as well; nothing where it is live."""
    if schedule.mode == Mode.LIVE:
        return ""
    if is_cut_over:
        return presentation.pill("run by nobody", "bad", RUN_BY_NOBODY)
    return presentation.pill("shadow", "busy", SHADOW)


def _last(run: Any, now: Any) -> SafeString:
    waits = f"next attempt {words.relative(run.available_at, now)}" if run.is_retrying else ""
    return format_html(
        '<a href="{}">{}</a> <small>{}{}</small>',
        presentation.run_url(run.pk),
        presentation.run_pill(run),
        waits or words.relative(run.finished_at, now),
        f", took {words.length(run.duration)}" if run.duration else "",
    )


def _said(schedule: Schedule, *, is_new: bool, changed: bool) -> str:
    verb = "Created." if is_new else "Saved." if changed else "Saved: nothing that decides a run has changed."
    name = f"\N{LEFT DOUBLE QUOTATION MARK}{visible(schedule.name)}\N{RIGHT DOUBLE QUOTATION MARK}"
    if schedule.next_run_at is None:
        why = "it is disabled" if not schedule.enabled else "it is never due by the clock"
        return f"{name}: {verb} No next run: {why}."
    now = database_now()
    when = words.absolute(schedule.next_run_at, words.zone_or_viewers(schedule.timezone))
    return f"{name}: {verb} Next run {words.relative(schedule.next_run_at, now)}, {when}."


def _warnings(schedule: Schedule) -> list[str]:
    """Texts that hold characters which cannot be seen in their boxes."""
    found = []
    for label, text in (("The command", schedule.command), ("The name", schedule.name)):
        if visible(text) != text.replace("\r\n", "\n"):
            found.append(f"{label} holds characters that cannot be seen: {visible(text)[:300]}")
    return found
