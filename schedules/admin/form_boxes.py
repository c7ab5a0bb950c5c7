"""The boxes of a schedule's form: what it asks for, how, and what it suggests. `forms` does the rest."""

from __future__ import annotations

from zoneinfo import available_timezones

from celery import current_app
from django import forms

from schedules import conf
from schedules.admin.fields import (
    Environment,
    JsonText,
    PlainText,
    Script,
    Suggesting,
    suggest_what_cron_takes,
    suggest_what_is_kept,
    type_numbers_as_text,
)
from schedules.admin.form_layout import DIALECTS, GAPS, HELP, LABELS, REPEATS
from schedules.models import Schedule

_MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S")


ENVIRONMENT_HELP = "NAME=value, one a line. Whoever may see the schedule sees it: no place for secrets."


class Boxes(forms.ModelForm):  # type: ignore[type-arg]
    command = PlainText(widget=Script(rows=3), help_text="Run by the shell below, with -c.")
    stdin = PlainText(
        label="Standard input",
        widget=Script(rows=2),
        help_text="What the command reads; in a crontab, what stands after %. Empty: nothing.",
    )
    environment = Environment(widget=Script(rows=2), help_text=ENVIRONMENT_HELP)
    args = JsonText(
        kind=list, label="Arguments", widget=Script(rows=1), help_text='A JSON list, such as ["daily", 7].'
    )
    kwargs = JsonText(
        kind=dict,
        label="Named arguments",
        widget=Script(rows=1),
        help_text='A JSON object, such as {"days": 7}.',
    )
    when = forms.CharField(
        required=False,
        max_length=300,
        widget=forms.TextInput({"class": "bk-code", "autocomplete": "off", "spellcheck": "false"}),
        help_text=(
            "Cron fields, @daily and the like, @reboot, every 15 minutes, "
            "once at 2026-12-01 04:00, sunset at 52.52, 13.405 (degrees north, east). "
            "Empty: started by hand only."
        ),
    )
    dialect = forms.ChoiceField(
        choices=DIALECTS,
        required=False,
        help_text="Extended: seconds as a sixth field in front, L, 15W, fri#2, H for a time of its own.",
    )
    gap = forms.ChoiceField(
        label="A time that the clocks skip",
        choices=GAPS,
        required=False,
        help_text="Of cron fields: such as 02:30 on the night on which summer time begins.",
    )
    repeat = forms.ChoiceField(
        label="A time that the clocks show twice",
        choices=REPEATS,
        required=False,
        help_text="Cron runs fixed times once; times with a * for minute or hour follow real time.",
    )
    timezone = forms.CharField(
        label="Time zone",
        max_length=64,
        required=False,
        help_text="Whose clock is meant: Europe/Berlin, UTC.",
    )
    revision_seen = forms.IntegerField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Schedule
        fields = [
            *("name", "kind", "command", "task", "delivery", "args", "kwargs"),
            *("working_directory", "run_as", "shell", "environment", "stdin", "background"),
            *("memory_limit", "cpu_limit", "file_size_limit"),
            *("keep_days", "keep_failed_days", "keep_runs"),
            *("timeout", "kill_grace", "overlap", "catch_up", "catch_up_window"),
            *("retry_policy", "on_worker_lost", "queue", "priority", "routing_key", "exchange"),
            *("start_time", "expires"),
            *("expire_seconds", "one_off", "mode", "enabled", "description", "tags"),
        ]
        widgets = {
            "kind": forms.RadioSelect,
            "description": forms.Textarea({"rows": 3}),
            "start_time": _MOMENT,
            "expires": _MOMENT,
            "working_directory": forms.TextInput({"class": "bk-code"}),
            "shell": forms.TextInput({"class": "bk-code"}),
        }
        labels = LABELS
        help_texts = HELP

    def suggest(self) -> None:
        """What may be typed, and in grey what an empty box means."""
        fields = self.fields
        fields["timezone"].widget = Suggesting(sorted(available_timezones()), autocomplete="off")
        fields["queue"].widget = Suggesting(list(conf.current().queues))
        fields["task"].widget = Suggesting(task_names(), **{"class": "bk-code", "spellcheck": "false"})
        fields["task"].required = fields["delivery"].required = False
        type_numbers_as_text(fields)
        suggest_what_is_kept(fields)
        suggest_what_cron_takes(fields, self.initial.get("environment") or [])
        policies = fields["retry_policy"]
        assert isinstance(policies, forms.ModelChoiceField)
        policies.empty_label = "none: one attempt"


def task_names() -> list[str]:
    """The Celery tasks that this process knows; none where their modules cannot be imported here."""
    try:
        current_app.loader.import_default_modules()
        known = list(current_app.tasks)
    except Exception:  # somebody's task module: the form works without suggestions
        return []
    return sorted(name for name in known if not name.startswith(("celery.", "schedules.")))
