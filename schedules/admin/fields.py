"""Form fields for what people write as plain text: scripts, NAME=value lines, JSON arguments.

What was not changed comes back exactly as it was stored: a browser's line ends are no change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator

from schedules import conf
from schedules.admin.ansi import visible
from schedules.rules.keeping import LEAST_DAYS

Pairs = list[list[str]]

_TOO_SHORT = (
    "At least 1 day: the rows of the last day keep an instant from being run twice, and an audit reads them."
)


class PlainText(forms.CharField):
    """Text kept to the letter; the CRLF that browsers send is read as the line feed it was typed as."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {"strip": False, "required": False, "widget": Script()}
        super().__init__(**defaults | options)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(str(initial or "").replace("\r\n", "\n"), data)


class Script(forms.Textarea):
    """Monospace, without a spelling checker, as high as what it holds."""

    def __init__(self, *, rows: int = 3, **attributes: Any) -> None:
        super().__init__(
            {"rows": rows, "spellcheck": "false", "autocapitalize": "off", "class": "bk-code"} | attributes
        )

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        lines = str(value or "").count("\n") + 1
        least = int(context["widget"]["attrs"]["rows"])
        context["widget"]["attrs"]["rows"] = max(least, min(lines + 1, 24))
        return context


class Suggesting(forms.TextInput):
    """A text input with a list of suggestions; anything else may be typed as well."""

    template_name = "schedules/admin/suggesting.html"

    def __init__(self, suggestions: list[str], **attributes: Any) -> None:
        super().__init__(attributes)
        self.suggestions = suggestions

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"]["attrs"]["list"] = f"{name}-suggestions"
        context["widget"]["suggestions"] = self.suggestions
        return context


class Environment(PlainText):
    """NAME=value, one a line. A value with a line break is written in JSON, as a list of pairs."""

    def prepare_value(self, value: Any) -> Any:
        return environment_text(value) if isinstance(value, list | tuple) else value

    def clean(self, value: Any) -> Any:
        if isinstance(value, list):  # a locked field is cleaned from what is stored
            return value
        return read_environment(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(environment_text(initial or []), data)


def environment_text(pairs: Any) -> str:
    if any("\n" in name or "\n" in value for name, value in pairs):
        return json.dumps([list(pair) for pair in pairs], ensure_ascii=False, indent=1)
    return "\n".join(f"{name}={value}" for name, value in pairs)


def read_environment(text: str) -> Pairs:
    """The pairs in order. Raises ValidationError that names the line."""
    if text.lstrip().startswith("["):
        return _pairs_in_json(text)
    pairs = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ValidationError(f"Line {number}: write NAME=value.")
        pairs.append([name.strip(), value])
    return pairs


def _pairs_in_json(text: str) -> Pairs:
    try:
        found = json.loads(text)
        pairs = [[name, value] for name, value in found]
    except (ValueError, TypeError):
        raise ValidationError('This is no list of pairs, such as [["NAME", "value"]].') from None
    if not all(isinstance(part, str) and "\x00" not in part for pair in pairs for part in pair):
        raise ValidationError("Names and values must be text without NUL characters.")
    return pairs


class JsonText(PlainText):
    """JSON of one kind, kept as it was typed."""

    def __init__(self, *, kind: type[list[Any]] | type[dict[str, Any]], **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind

    def clean(self, value: Any) -> str:
        text = str(super().clean(value)).strip()
        if not text:
            return "[]" if self.kind is list else "{}"
        try:
            right = isinstance(json.loads(text), self.kind)
        except (ValueError, RecursionError):
            right = False
        if not right:
            example = '["a", 1]' if self.kind is list else '{"name": "value"}'
            raise ValidationError(f"This is no JSON like {example}.")
        return text


def show_whole_numbers(initial: MutableMapping[str, Any]) -> None:
    """Numbers of seconds as people write them: 60, not 60.0."""
    for name, value in initial.items():
        if isinstance(value, float) and value.is_integer():
            initial[name] = int(value)


NUMBERS = {
    "max_attempts": ("a whole number", "3"),
    "initial_interval": ("a number of seconds", "30"),
    "backoff_coefficient": ("a number", "2 or 1.5"),
    "maximum_interval": ("a number of seconds", "3600"),
    "give_up_after": ("a number of seconds", "3600"),
    "memory_limit": ("a whole number of MiB", "512"),
    "file_size_limit": ("a whole number of MiB", "512"),
    "cpu_limit": ("a whole number of seconds", "60"),
    "timeout": ("a number of seconds", "90 or 0.5"),
    "kill_grace": ("a number of seconds", "10"),
    "catch_up_window": ("a number of seconds", "3600"),
    "expire_seconds": ("a whole number of seconds", "300"),
    "priority": ("a whole number from 0 to 255", "5"),
    "keep_days": ("a number of days", "30 or 1.5"),
    "keep_failed_days": ("a number of days", "90"),
    "keep_runs": ("a whole number of runs", "500"),
}
"""What boxes of schedules and retry policies count, and an example."""


def type_numbers_as_text(fields: Mapping[str, forms.Field]) -> None:
    """A browser sends a number box in which somebody typed "64M" as if it were empty, which is "no limit"."""
    for name, (what, example) in NUMBERS.items():
        if (field := fields.get(name)) is None:
            continue
        field.widget = forms.TextInput({"inputmode": "decimal", "autocomplete": "off"})
        field.error_messages["invalid"] = f"Write {what}, without a unit, such as {example}."


def suggest_what_is_kept(fields: Mapping[str, forms.Field]) -> None:
    """How long runs are kept: an empty box shows in grey what the installation says."""
    values = conf.current()
    failed = values.retention_failed_days
    defaults = {
        "keep_days": values.retention_days,
        "keep_failed_days": values.retention_days if failed is None else failed,
        "keep_runs": values.retention_runs,
    }
    for name, number in defaults.items():
        fields[name].widget.attrs["placeholder"] = f"{number:g}"
        if name != "keep_runs":
            fields[name].validators.append(MinValueValidator(LEAST_DAYS, _TOO_SHORT))


def suggest_what_cron_takes(fields: Mapping[str, forms.Field], environment: Pairs) -> None:
    """Shell and folder: an empty box shows in grey what SHELL and HOME of the environment make of it."""
    settings = dict(environment)
    fields["shell"].widget.attrs["placeholder"] = visible(settings.get("SHELL") or "/bin/sh")
    fields["working_directory"].widget.attrs["placeholder"] = visible(settings.get("HOME", ""))
