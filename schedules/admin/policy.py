"""Retry policies in the admin: waits and rules typed as text, and a preview of the waits.

How a policy decides is `rules.retry`. A saved policy reaches its schedules at once, as a revision of
each of them in the name of whoever saved it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules import catalog
from schedules.admin import access, presentation, queries, words
from schedules.admin.fields import PlainText, Script, show_whole_numbers, type_numbers_as_text
from schedules.admin.retry_text import read_delays, read_rules, write_delays, write_rules
from schedules.models import RetryPolicy
from schedules.rules import retry

SHOWN_WAITS = 8

Value = TypeVar("Value")


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    delays = PlainText(
        label="Waits",
        widget=forms.TextInput({"class": "bk-code"}),
        help_text="Such as 30s, 5m, 1h: before attempt 2, 3, 4; the last one repeats. "
        "Empty: the waits grow, as said below.",
    )
    rules = PlainText(
        widget=Script(rows=4),
        help_text="One a line, the first that matches decides, no match means retry: "
        "exit code 75: retry · exit code 1-10, 64: give up · signal 9: retry · "
        "exception ConnectionError: retry · output /disk full/: give up · timeout: give up · any: give up",
    )

    class Meta:
        model = RetryPolicy
        fields = [
            *("name", "description", "max_attempts", "delays"),
            *("initial_interval", "backoff_coefficient", "maximum_interval", "jitter"),
            *("give_up_after", "rules"),
        ]
        labels = {
            "max_attempts": "Attempts",
            "initial_interval": "First wait",
            "backoff_coefficient": "Growth",
            "maximum_interval": "Longest wait",
            "give_up_after": "Time budget",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        type_numbers_as_text(self.fields)
        show_whole_numbers(self.initial)
        self.initial["delays"] = write_delays(self.instance.delays)
        self.initial["rules"] = write_rules(self.instance.rules)

    def clean_delays(self) -> list[float]:
        return _read(read_delays, self.cleaned_data["delays"])

    def clean_rules(self) -> list[dict[str, str]]:
        return _read(read_rules, self.cleaned_data["rules"])


def _read(reader: Callable[[str], Value], text: str) -> Value:
    try:
        return reader(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


@admin.register(RetryPolicy)
class RetryPolicyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = PolicyForm
    list_display = ("name", "description", "max_attempts", "waits_in_short", "used_by")
    search_fields = ("name",)
    readonly_fields = ("waits", "used_by")
    fieldsets = (
        (None, {"fields": ("name", "description", "used_by")}),
        ("How often and how soon", {"fields": ("max_attempts", "delays", "waits")}),
        (
            "Where no waits are named, they grow",
            {"fields": ("initial_interval", "backoff_coefficient", "maximum_interval")},
        ),
        ("After which failures, and until when", {"fields": ("rules", "give_up_after", "jitter")}),
    )
    change_form_template = "schedules/admin/policy_form.html"
    change_list_template = "schedules/admin/plain_list.html"
    actions = None
    empty_words = format_html(
        "There is no retry policy yet: every schedule has one attempt. Add one, or take five to begin with: "
        "<code>{}</code>",
        "manage.py loaddata retry_policies",
    )
    list_display_links = ("name",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RetryPolicy]:
        return queries.policies()

    @admin.display(description="Waits")
    def waits_in_short(self, policy: RetryPolicy) -> str:
        return ", ".join(waits(policy, limit=4)) or "–"

    @admin.display(description="Used by")
    def used_by(self, policy: Any) -> str:
        count = getattr(policy, "used_by", 0)
        return "1 schedule" if count == 1 else f"{count} schedules"

    @admin.display(description="So it waits")
    def waits(self, policy: RetryPolicy) -> SafeString:
        """As saved; jitter shortens the waits at random."""
        if policy._state.adding:
            return presentation.quiet("Shown once it is saved.")
        shown = waits(policy, limit=SHOWN_WAITS)
        if not shown:
            return presentation.quiet("One attempt: nothing is retried.")
        said = ", ".join(f"attempt {at} after {wait}" for at, wait in enumerate(shown, 2))
        more = ", …" if policy.max_attempts - 1 > SHOWN_WAITS else ""
        return format_html("{}{}", said, more)

    def save_model(
        self, request: HttpRequest, obj: RetryPolicy, form: ModelForm[RetryPolicy], change: bool
    ) -> None:
        with transaction.atomic():
            super().save_model(request, obj, form, change)
            users = list(obj.schedules.filter(deleted_at__isnull=True).values_list("pk", flat=True))
            note = f"retry policy {obj.name}"[:255]
            changed = catalog.change(users, by=access.author(request), note=note)
        if changed:
            word = "schedule" if len(changed) == 1 else "schedules"
            messages.info(request, f"{len(changed)} {word} retry by it from the next run on.")


def waits(policy: RetryPolicy, *, limit: int) -> list[str]:
    """The waits before attempt 2, 3, … without jitter's share of chance, in words."""
    try:
        value = policy.value
    except (KeyError, ValueError, TypeError, AttributeError):  # a row written by hand
        return []
    count = min(value.max_attempts - 1, limit)
    return [words.length(retry.backoff(number, value, jitter=1)) for number in range(1, count + 1)]
