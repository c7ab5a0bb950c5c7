"""Template tags of the pages: the overview of the first page, and the small pieces of `presentation`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.safestring import SafeString

from schedules.admin import access, presentation, process, queries, words
from schedules.admin.ansi import visible

register = template.Library()


@register.inclusion_tag("schedules/admin/overview.html", takes_context=True)
def overview(context: dict[str, Any]) -> dict[str, Any]:
    """What runs, waits, failed and comes next; empty for who may not see runs and schedules."""
    request = context["request"]
    allowed = request.user.has_perm("schedules.view_run") and request.user.has_perm("schedules.view_schedule")
    if not allowed:
        return {"found": None}
    found = queries.overview()
    return {
        "found": found,
        "now": found.now,
        "counts": {
            key: _capped(value) for key, value in (found.counts | {"queueing": found.queueing}).items()
        },
        "processes": [_process(row, found.now) for row in (*found.beats, *found.workers)],
        "no_beat": not any(not process.is_silent(row, found.now) for row in found.beats),
        "no_worker": not any(not process.is_silent(row, found.now) for row in found.workers),
        "may_add": access.may(request, "schedules.add_schedule"),
    }


def _capped(count: int) -> str:
    return f"{count}+" if count >= queries.MOST_COUNTED else str(count)


def _process(row: Any, now: datetime) -> dict[str, Any]:
    return {
        "kind": row._meta.verbose_name,
        "name": presentation.name(row.name),
        "pill": process.state_pill(row, now),
        "age": "" if process.is_overdue(row, now) else words.relative(row.seen_at, now),
        "detail": visible(getattr(row, "queues", "").replace(",", ", ")),
    }


@register.simple_tag
def moment(at: datetime | None, now: datetime, zone: str = "") -> SafeString:
    return presentation.moment(at, now, zone)


@register.filter
def instant(at: datetime | None) -> SafeString:
    return presentation.instant(at)


@register.filter
def run_pill(run: Any) -> SafeString:
    return presentation.run_pill(run)


@register.filter
def attempts_badge(run: Any) -> SafeString:
    return presentation.attempts_badge(run)


@register.filter(name="person_made")
def person_made(text: str) -> SafeString:
    """A name as somebody wrote it."""
    return presentation.name(text)
