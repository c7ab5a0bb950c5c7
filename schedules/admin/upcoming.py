"""The page that says what is due in the coming hours, of all schedules. By GET only, without scripts.

`outlook` reads, in a fixed number of queries, and works the instants out by the timings of the rows;
the view shows them. What one schedule does next is on its own page, why something happens in `explain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from schedules.admin import access, presentation, queries, timings, words
from schedules.admin.ansi import visible
from schedules.admin.explain import explain_url
from schedules.admin.lists import RowsAdmin
from schedules.errors import BeatkeeperError
from schedules.models import Run, Schedule
from schedules.querysets import database_now
from schedules.revisions import timing_of
from schedules.rules.definition import Mode
from schedules.rules.history import TICK
from schedules.rules.states import WAITING
from schedules.rules.timing import NoTiming, Timing
from schedules.sql.indexed import StateAmong

SPANS = {
    "1": (timedelta(hours=1), timedelta(minutes=5), "1 hour"),
    "6": (timedelta(hours=6), timedelta(minutes=15), "6 hours"),
    "24": (timedelta(hours=24), timedelta(hours=1), "24 hours"),
}
"""By the value in the address: how far the page looks, how wide a bar is, and what that is called."""
SHOWN_SCHEDULES = 200
SHOWN_RETRIES = 50
MOST_TIMES = 1500
"""Of one schedule: more than a day has minutes."""
MOST_INSTANTS = 50_000
"""Worked out for one page, at 4 to 10 us each: a day of 30 different ones that are due every minute."""


@dataclass(frozen=True)
class Line:
    """One schedule: its first instant in the time that is shown, its last, and how many there are.

    `is_whole` is False where counting was given up: there are more, and later ones.
    """

    schedule: Schedule
    instants: tuple[datetime, ...]
    is_whole: bool

    @property
    def is_shadow(self) -> bool:
        return self.schedule.mode == Mode.SHADOW


@dataclass(frozen=True)
class Outlook:
    """What is due before `until`, soonest first. `is_whole`: no schedule is left out."""

    now: datetime
    until: datetime
    lines: list[Line]
    retries: list[Run]
    is_whole: bool


def outlook(*, now: datetime, until: datetime, retries: bool) -> Outlook:
    """Two queries; one without `retries`."""
    due = queries.schedule_rows().filter(enabled=True, next_run_at__lt=until).order_by("next_run_at", "pk")
    rows = list(due[: SHOWN_SCHEDULES + 1])
    waiting = Run.objects.filter(StateAmong(WAITING), attempt__gt=0, available_at__lt=until)
    return Outlook(
        now=now,
        until=until,
        lines=list(_lines(rows[:SHOWN_SCHEDULES], now, until)),
        retries=list(waiting.order_by("available_at")[:SHOWN_RETRIES]) if retries else [],
        is_whole=len(rows) <= SHOWN_SCHEDULES,
    )


def _lines(rows: Iterable[Schedule], now: datetime, until: datetime) -> Iterator[Line]:
    """Timings that are equal are worked out once."""
    known: dict[Any, tuple[tuple[datetime, ...], bool]] = {}
    left = MOST_INSTANTS
    for row in rows:
        assert row.next_run_at is not None
        start = max(row.next_run_at + TICK, now)
        timing = _timing(row)
        if (timing, start) not in known:
            known[timing, start] = _following(timing, start, until, min(left, MOST_TIMES))
            left -= len(known[timing, start][0])
        following, is_whole = known[timing, start]
        yield Line(row, (row.next_run_at, *following), is_whole)


def _timing(row: Schedule) -> Timing:
    """What makes it due again after its next run: nothing where that is the only one, or cannot be used."""
    try:
        return NoTiming() if row.one_off else timing_of(row)
    except BeatkeeperError:
        return NoTiming()


def _following(
    timing: Timing, start: datetime, until: datetime, limit: int
) -> tuple[tuple[datetime, ...], bool]:
    """The instants, and whether they are all."""
    found = tuple(islice(timing.between(start, until), limit))
    return found, len(found) < limit


@dataclass(frozen=True)
class Bar:
    """A part of the time, as a bar of the chart: thousandths of its width, hundredths of its height."""

    x: float
    width: float
    height: float
    count: int
    says: str

    @property
    def top(self) -> float:
        return 100 - self.height


def bars(found: Outlook, length: timedelta) -> list[Bar]:
    """How many runs start in each `length` of time; shadows start none. They begin at multiples of it."""
    first = found.now - timedelta(seconds=found.now.timestamp() % length.total_seconds())
    counts = [0] * -((first - found.until) // length)
    for line in found.lines:
        for at in () if line.is_shadow else line.instants:
            counts[max((at - first) // length, 0)] += 1
    highest, width = max(*counts, 1), 1000 / len(counts)
    return [
        Bar(
            *(round(number * width, 1), round(width - 2, 1), round(count / highest * 100, 1), count),
            f"{_clock(first + number * length)} to {_clock(first + (number + 1) * length)}, {_runs(count)}",
        )
        for number, count in enumerate(counts)
    ]


def _clock(at: datetime) -> str:
    return f"{at.astimezone(words.viewer_zone()):%H:%M}"


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


class UpcomingPage(RowsAdmin):
    """What the class of the schedules' pages needs for it."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.upcoming_view)
        return [path("upcoming/", view, name="schedules_schedule_upcoming"), *super().get_urls()]

    def upcoming_view(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        chosen = request.GET.get("hours", "")
        chosen = chosen if chosen in SPANS else "1"
        span, length, _ = SPANS[chosen]
        now, sees_runs = database_now(), access.may(request, access.VIEW_RUN)
        found = outlook(now=now, until=now + span, retries=sees_runs)
        context = {
            **self.admin_site.each_context(request),
            "title": "",
            "opts": self.opts,
            "found": found,
            "spans": [(hours, name, hours == chosen) for hours, (_, _, name) in SPANS.items()],
            "rows": [_row(line, found, explained=sees_runs) for line in found.lines],
            "may_add": self.has_add_permission(request),
            **_chart(found, length),
        }
        return TemplateResponse(request, "schedules/admin/upcoming.html", context)


def _chart(found: Outlook, length: timedelta) -> dict[str, Any]:
    shown = bars(found, length)
    highest = max(shown, key=lambda bar: bar.count)
    live = [line for line in found.lines if not line.is_shadow]
    total = sum(len(line.instants) for line in live)
    more = "" if found.is_whole and all(line.is_whole for line in live) else "at least "
    schedules = f"{len(live)} schedule{'' if len(live) == 1 else 's'}"
    return {
        "bars": shown if total else [],
        "sentence": f"{more.capitalize()}{_runs(total)} of {schedules}. Busiest: {highest.says}."
        if total
        else "",
        "ends": (_clock(found.now), _clock(found.until)),
    }


def _row(line: Line, found: Outlook, *, explained: bool) -> dict[str, Any]:
    row, first = line.schedule, line.instants[0]
    return {
        "first": presentation.moment(first, found.now, timings.shown(row).timezone),
        "name": presentation.name(row.name),
        "url": presentation.schedule_url(row.pk),
        "words": visible(timings.in_words(row)),
        "times": _times(line),
        "pills": _pills(line, found.now),
        "explain_url": explain_url(row.pk, first) if explained else "",
    }


def _times(line: Line) -> str:
    count, last = len(line.instants), _clock(line.instants[-1])
    if not line.is_whole:
        return f"{count:,} times or more"
    return "once" if count == 1 else f"{count:,} times, the last at {last}"


def _pills(line: Line, now: datetime) -> list[SafeString]:
    found = []
    health = presentation.health(line.schedule, now)
    if health.word != "enabled":
        found.append(presentation.pill(health.word, health.tone, health.why))
    if line.is_shadow:
        found.append(presentation.pill("shadow", "busy", "It is recorded, and starts nothing."))
    return found
