"""What the *when* box means, without a schedule: for the preview that is fetched while somebody types.

The schedule form previews by itself; both word a refused cron line by `cron_complaint`.
"""

from __future__ import annotations

from datetime import datetime

from django import forms
from django.conf import settings

from schedules.admin import timings
from schedules.admin.timings import Preview, Typed
from schedules.errors import CronError, InvalidSchedule
from schedules.rules import when as whens

PREVIEWED = ("when", "dialect", "timezone", "gap", "repeat", "name")
"""The texts of the schedule form that decide what the preview shows."""


class PreviewForm(forms.Form):
    """The inputs of the preview that is fetched while somebody types."""

    when = forms.CharField(required=False, max_length=300)
    dialect = forms.CharField(required=False, max_length=20)
    timezone = forms.CharField(required=False, max_length=64)
    gap = forms.CharField(required=False, max_length=10)
    repeat = forms.CharField(required=False, max_length=10)
    name = forms.CharField(required=False)
    start_time = forms.DateTimeField(required=False)
    expires = forms.DateTimeField(required=False)

    def preview(self, *, now: datetime, anchor: datetime | None = None) -> Preview:
        """An interval counts from `anchor`, or from now. Raises InvalidSchedule."""
        if not self.is_valid():
            raise InvalidSchedule("The start or the end is not a date and time.")
        values = self.cleaned_data
        typed = Typed(
            values["when"].strip(),
            values["dialect"] or "cron",
            values["timezone"] or settings.TIME_ZONE,
            values["gap"],
            values["repeat"],
        )
        when = whens.read(typed.when, timezone=typed.timezone, dialect=typed.dialect)
        start, end = values["start_time"], values["expires"]
        return timings.preview(
            when, typed, now=now, anchor=anchor or now, name=values["name"], start=start, end=end
        )


def cron_complaint(error: CronError) -> str:
    """The reason, and the text with a mark at the place where reading stopped."""
    where = f" ({error.field}, character {error.position + 1})" if error.field else ""
    return f"{error.reason[:1].upper()}{error.reason[1:]}{where}."
