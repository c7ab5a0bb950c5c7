"""What changed between two definitions, field by field: a schedule's history, a run's difference to now.

Pure: values come from the revisions' JSON. Everything is made visible here and escaped by the templates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from schedules.admin.ansi import visible
from schedules.errors import BeatkeeperError
from schedules.models import Revision
from schedules.models.schedule import FOREVER
from schedules.rules import timing, wording

_LONGEST = 2000
_LABELS = {
    "run_as": "account",
    "stdin": "standard input",
    "args": "arguments",
    "kwargs": "named arguments",
    "timing": "when",
    "retry": "retries",
    "on_worker_lost": "when the worker vanishes",
    "catch_up": "catch-up",
    "start_deadline": "start deadline",
    "one_off": "only once",
    "paused_until": "paused until",
    "kill_grace": "grace",
    "delivery": "executed by",
    "memory_limit": "limit of memory (MiB)",
    "cpu_limit": "limit of processor time (seconds)",
    "file_size_limit": "limit of a file (MiB)",
    "background": "processes left behind",
}


@dataclass(frozen=True)
class Change:
    """One field that differs. Texts are visible, not escaped."""

    field: str
    before: str
    after: str


@dataclass(frozen=True)
class Line:
    """One revision: who, when, and what it changed."""

    number: int
    by: str
    at: datetime
    note: str
    changes: list[Change]

    @property
    def summary(self) -> str:
        return ", ".join(change.field for change in self.changes)


def lines(revisions: Sequence[Revision], *, shown: int) -> list[Line]:
    """Newest first. The last of `revisions` may be there only to be compared with."""
    found = [
        _line(newer, between(older.definition, newer.definition)) for newer, older in pairwise(revisions)
    ]
    if revisions and len(revisions) <= shown:
        found.append(_line(revisions[-1], []))
    return found


def _line(revision: Revision, changes: list[Change]) -> Line:
    return Line(
        number=revision.number,
        by=visible(revision.changed_by or "–"),
        at=revision.changed_at,
        note=visible(revision.note or ("created" if revision.number == 1 else "")),
        changes=changes,
    )


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The fields that differ, in the order of the definition."""
    return [
        Change(label(key), shown(key, before.get(key)), shown(key, after.get(key)))
        for key in after
        if before.get(key) != after.get(key)
    ]


def fields(definition: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field that says something, for a page that shows the whole definition."""
    said = ((label(key), shown(key, value)) for key, value in definition.items())
    return [(name, text) for name, text in said if text not in ("", "–", "{}", "[]")]


def label(key: str) -> str:
    return _LABELS.get(key, key.replace("_", " "))


def shown(key: str, value: Any) -> str:
    """A value of a definition as text."""
    if value is None or value == "":
        return "–"
    if key == "timing":
        return _timing(value)
    if key == "paused_until" and datetime.fromisoformat(value) >= FOREVER:
        return "somebody resumes it"
    if key == "environment":
        return visible("\n".join(f"{name}={content}" for name, content in value))[:_LONGEST]
    if key == "retry":
        return visible(", ".join(_retry(value)))[:_LONGEST]
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return visible(text)[:_LONGEST]


def _timing(value: Any) -> str:
    try:
        said = wording.describe(timing.from_dict(value))
    except BeatkeeperError as error:
        return visible(str(error))
    inner = value.get("timing", value)
    exact = f"{inner['expression']} ({inner['timezone']}): " if inner["kind"] == "cron" else ""
    return visible(exact + said)


def _retry(value: Mapping[str, Any]) -> Iterator[str]:
    if value.get("name"):
        yield str(value["name"])
    attempts = value.get("max_attempts", 1)
    yield "one attempt" if attempts == 1 else f"{attempts} attempts"
    if attempts > 1:
        delays = value.get("delays") or ()
        first = (
            ", ".join(f"{delay:g} s" for delay in delays)
            or f"{value.get('initial_interval', 0):g} s, growing"
        )
        yield f"waits {first}"
    if value.get("rules"):
        yield f"{len(value['rules'])} rules"
