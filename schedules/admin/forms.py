"""The form of a schedule: what it refuses, how it is saved. Its boxes are in `form_boxes`.

Permissions lock fields: a locked field keeps what is stored, whatever is sent. A field that was not
changed keeps what is stored to the letter. `schedule_form` shows it as `form_layout` says, `timings`
knows the columns of the *when*, `catalog` saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import QueryDict
from django_celery_beat.models import PeriodicTask

from schedules import catalog
from schedules.admin import timings, words
from schedules.admin.ansi import visible
from schedules.admin.fields import show_whole_numbers
from schedules.admin.form_boxes import Boxes
from schedules.admin.preview_form import cron_complaint
from schedules.admin.timings import Preview, Typed
from schedules.cutting_over.still import open_cut_overs, why_no_shadow
from schedules.errors import BeatkeeperError, CronError, InvalidSchedule, NotPossible, TimingError
from schedules.models import Revision, Schedule
from schedules.models.schedule import COMMAND_TASK
from schedules.querysets import database_now
from schedules.rules import delivery
from schedules.rules import when as whens
from schedules.rules.cron.clock import zone
from schedules.rules.definition import Delivery, Kind, Mode

LOCKS: dict[str, tuple[str, ...]] = {
    "command": (
        *("kind", "delivery", "command", "working_directory", "run_as", "shell", "environment", "stdin"),
        "background",
    ),
    "timing": ("when", "dialect", "timezone", "gap", "repeat", "start_time", "expires", "one_off"),
    "pause": ("enabled", "mode"),
}
"""The fields that each right unlocks."""


class ScheduleForm(Boxes):
    """`revision_seen` is the number of the revision that the page showed: a newer one refuses the save."""

    def __init__(self, *args: Any, may: Mapping[str, bool], **kwargs: Any) -> None:
        """`may`: which of the rights of `LOCKS` the person has."""
        super().__init__(*args, **kwargs)
        self.preview: Preview | None = None
        self.now = database_now()
        self.suggest()
        self._fill_in_timing()
        self._fill_in_rest()
        self._lock(may)

    def _fill_in_timing(self) -> None:
        saved = self.instance.pk is not None
        typed = timings.shown(self.instance) if saved else Typed("", "cron", settings.TIME_ZONE)
        for name, value in asdict(typed).items():
            self.initial.setdefault(name, value)
        revision = self.instance.revision
        self.initial["revision_seen"] = revision.number if saved and revision else 0

    def _fill_in_rest(self) -> None:
        """Whole numbers of seconds without ".0"; no task where it is the one that stands for commands."""
        show_whole_numbers(self.initial)
        if self.initial.get("task") == COMMAND_TASK:
            self.initial["task"] = ""

    def _lock(self, may: Mapping[str, bool]) -> None:
        for right, names in LOCKS.items():
            for name in names if not may[right] else ():
                self.fields[name].disabled = True
        if not may["command"]:
            # Another queue is another worker, perhaps with another account.
            self.fields["queue"].disabled = self._runs_command
            if self.instance.pk is None:
                self.initial["kind"] = Kind.TASK.value

    @property
    def _runs_command(self) -> bool:
        return bool(self.instance.pk) and self.instance.kind == Kind.COMMAND

    @property
    def typed(self) -> Typed:
        values = self.cleaned_data
        return Typed(
            values.get("when", "").strip(),
            values.get("dialect") or "cron",
            values.get("timezone") or settings.TIME_ZONE,
            values.get("gap", ""),
            values.get("repeat", ""),
        )

    def clean_delivery(self) -> str:
        """A page that does not ask leaves it as it is."""
        return str(self.cleaned_data["delivery"] or self.instance.delivery)

    def clean_mode(self) -> str:
        mode = str(self.cleaned_data["mode"])
        moved = open_cut_overs([self.instance.pk or 0]) if mode == Mode.SHADOW else {}
        for row in moved.values():
            raise ValidationError(visible(why_no_shadow(row)))
        return mode

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if PeriodicTask.objects.filter(name=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError("Another schedule has this name.")
        return name

    def clean_timezone(self) -> str:
        name = str(self.cleaned_data["timezone"]).strip()
        try:
            if name:
                zone(name)
        except TimingError as error:
            raise ValidationError(str(error)) from None
        return name or settings.TIME_ZONE

    def clean_stdin(self) -> str | None:
        """An input that is empty and no input at all differ: the empty box keeps which one it was."""
        return self.cleaned_data["stdin"] or (self.instance.stdin if self.instance.stdin == "" else None)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        self._keep_what_did_not_change()
        if values.get("kind") == Kind.COMMAND and not values.get("command", "").strip():
            self._add_once("command", "Say what to run.")
        if values.get("kind") == Kind.TASK and not values.get("task", "").strip():
            self._add_once("task", "Say which task to call.")
        if values.get("delivery") == Delivery.MESSAGE:
            self._refuse_misfits(values)
        if values.get("expires") and values.get("expire_seconds") is not None:
            self.add_error("expire_seconds", "Give an end or a start deadline, not both.")
        if "timezone" in values and "when" in values:
            self._read_when()
        return values

    def _refuse_misfits(self, values: Mapping[str, Any]) -> None:
        """Policies that only a worker of ours can keep, beside the box of each."""
        found = delivery.misfits(
            kind=values.get("kind", ""),
            retries=values.get("retry_policy") is not None,
            overlap=values.get("overlap", ""),
            timeout=values.get("timeout") is not None,
            on_worker_lost=values.get("on_worker_lost", ""),
        )
        for field, complaint in found:
            self._add_once(field, complaint)

    def _add_once(self, field: str, message: str) -> None:
        if field not in self.errors and not self.fields[field].disabled:
            self.add_error(field, message)

    def _keep_what_did_not_change(self) -> None:
        if self.instance.pk is None:
            return
        for name in self._meta.fields or ():
            if name in self.cleaned_data and name not in self.changed_data:
                self.cleaned_data[name] = getattr(self.instance, name)

    @property
    def timing_changed(self) -> bool:
        return self.instance.pk is None or self.typed != timings.shown(self.instance)

    def _read_when(self) -> None:
        typed = self.typed
        try:
            self._when = whens.read(typed.when, timezone=typed.timezone, dialect=typed.dialect)
            self.preview = self._previewed(typed)
        except CronError as error:
            self.add_error("when", cron_complaint(error))
        except BeatkeeperError as error:
            if self.timing_changed:
                self.add_error("when", str(error))

    def _previewed(self, typed: Typed) -> Preview:
        values = self.cleaned_data
        return timings.preview(
            self._when,
            typed,
            now=self.now,
            anchor=self.instance.anchor_at or self.now,
            name=values.get("name", ""),
            start=values.get("start_time"),
            end=values.get("expires"),
        )

    def validate_unique(self) -> None:
        """Names are compared in `clean_name`; the parent's other rules are about columns set in `store`."""

    def store(self, *, by: str) -> tuple[Schedule, bool]:
        """Saves through `catalog`; says whether the definition changed. In a transaction of its own.

        Raises InvalidSchedule, and EditedMeanwhile where a newer revision exists.
        """
        with transaction.atomic():
            before = self._refuse_lost_update()
            if self.timing_changed:
                timings.put(self.instance, self._when, self.typed)
            saved = catalog.save(self.instance, by=by)
        return saved, saved.revision_id != before

    def blame(self, error: BeatkeeperError) -> None:
        """A refusal of `store`, beside the box that it is about: its group opens."""
        column = error.column if isinstance(error, InvalidSchedule) else ""
        self.add_error(column if column in self.fields else None, visible(str(error)))

    def show_revision(self, number: int) -> None:
        """The next save replaces this revision: its author has been named."""
        sent = cast(QueryDict, self.data).copy()
        sent["revision_seen"] = str(number)
        self.data = sent

    def _refuse_lost_update(self) -> int | None:
        if self.instance.pk is None:
            return None
        rows = Schedule.objects.lock([self.instance.pk])
        current = rows[0].revision if rows else None  # gone altogether: `catalog` says so
        if current is not None and current.number != (self.cleaned_data.get("revision_seen") or 0):
            raise EditedMeanwhile(current)
        return current.pk if current else None


class EditedMeanwhile(NotPossible):
    """Somebody saved a newer revision after the page was shown."""

    def __init__(self, revision: Revision) -> None:
        super().__init__(
            f"Not saved: {revision.changed_by or 'somebody'} changed this schedule at "
            f"{words.absolute(revision.changed_at, words.viewer_zone())} (revision {revision.number}"
            f"{', ' + revision.note if revision.note else ''}). What you typed is still below. "
            "Look at the change history, then save again: that replaces what is stored by what you see here."
        )
        self.revision = revision
