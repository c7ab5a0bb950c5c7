"""Small pieces of HTML that several pages share: pills, moments, names, the strip of runs, the timeline.

Everything is built with `format_html`, and what people or commands wrote passes `visible` first.
Reads no database. Words are in `words`, whole pages in the templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from schedules.admin import words
from schedules.admin.ansi import visible
from schedules.models import Attempt, Run, Schedule
from schedules.models.schedule import FOREVER
from schedules.rules.states import Outcome, State

STRIP = 20
"""Runs that a schedule's strip shows."""

_LATE = timedelta(minutes=1)
_GOOD, _MENDED, _BAD, _GREY, _BUSY, _WAIT = "good", "mended", "bad", "grey", "busy", "wait"
_SENT = "sent"
_TONES = {
    State.SUCCEEDED: _GOOD,
    State.FAILED: _BAD,
    State.TIMED_OUT: _BAD,
    State.LOST: _BAD,
    State.SKIPPED: _GREY,
    State.CANCELLED: _GREY,
    State.RUNNING: _BUSY,
    State.PENDING: _WAIT,
    State.QUEUED: _WAIT,
    State.SENT: _SENT,
}
_OUTCOME_TONES = {
    Outcome.SUCCEEDED: _GOOD,
    Outcome.FAILED: _BAD,
    Outcome.TIMED_OUT: _BAD,
    Outcome.CANCELLED: _GREY,
    Outcome.INTERRUPTED: _MENDED,
    Outcome.WORKER_LOST: _BAD,
    Outcome.SENT: _SENT,
}


@dataclass(frozen=True)
class Health:
    """The state of a schedule: a word, its tone, and the sentence behind it."""

    word: str
    tone: str
    why: str = ""


def pill(word: str, tone: str, title: str = "") -> SafeString:
    return format_html(
        '<span class="bk-pill bk-{}" title="{}">{}</span>', tone, visible(title), visible(word)
    )


def quiet(text: str) -> SafeString:
    return format_html('<span class="bk-quiet">{}</span>', visible(text))


def nothing() -> SafeString:
    """Stands where a column has no value; left out where there is little room."""
    return format_html('<span class="bk-quiet bk-none">{}</span>', "–")


def name(text: str) -> SafeString:
    """A name as somebody wrote it: isolated, broken where it must be."""
    return format_html('<bdi class="bk-name">{}</bdi>', visible(text))


def moment(at: datetime | None, now: datetime, zone_name: str = "") -> SafeString:
    """Relative; absolute in the schedule's zone below it, in the viewer's zone as its title."""
    if at is None:
        return nothing()
    here = words.zone_or_viewers(zone_name)
    return format_html(
        '<time class="bk-moment" datetime="{}" title="{}"><b>{}</b> <small>{}</small></time>',
        words.utc(at),
        words.absolute(at, words.viewer_zone()),
        words.relative(at, now),
        words.absolute(at, here),
    )


def instant(at: datetime | None, zone_name: str = "") -> SafeString:
    """Absolute only."""
    if at is None:
        return nothing()
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        words.utc(at),
        words.absolute(at, words.viewer_zone()),
        words.absolute(at, words.zone_or_viewers(zone_name)),
    )


def health(schedule: Schedule, now: datetime) -> Health:
    if schedule.is_deleted:
        return Health("deleted", _GREY)
    if schedule.timing_error:
        return Health("not usable", _BAD, schedule.timing_error)
    if not schedule.enabled:
        return Health("disabled", _GREY, "Nothing falls due until somebody enables it.")
    if schedule.is_paused(now):
        return Health("paused", _MENDED, _pause(schedule, now))
    if schedule.next_run_at is not None and schedule.next_run_at < now - _LATE:
        return Health("overdue", _BAD, "It was due more than a minute ago. Is beat running?")
    return Health("enabled", _GOOD)


def _pause(schedule: Schedule, now: datetime) -> str:
    assert schedule.paused_until is not None
    if schedule.paused_until >= FOREVER:
        until = "until somebody resumes it"
    else:
        until = f"until {words.absolute(schedule.paused_until, words.zone_or_viewers(schedule.timezone))}"
    return f"{until}: {schedule.pause_note}" if schedule.pause_note else until


def health_pill(schedule: Schedule, now: datetime) -> SafeString:
    found = health(schedule, now)
    return pill(found.word, found.tone, found.why)


def tone(run: Run) -> str:
    if run.state == State.SUCCEEDED and run.attempt > 1:
        return _MENDED
    return _MENDED if run.is_retrying else _TONES[State(run.state)]


def run_pill(run: Run) -> SafeString:
    return pill(run.label, tone(run), run.detail)


def outcome_pill(attempt: Attempt) -> SafeString:
    return pill(attempt.label, _OUTCOME_TONES[Outcome(attempt.outcome)] if attempt.outcome else _BUSY)


def attempts_badge(run: Run) -> SafeString:
    """ "3/5", amber where the run needed more than one attempt."""
    if not run.attempt:
        return nothing()
    shade = _MENDED if run.attempt > 1 else "plain"
    return format_html('<span class="bk-badge bk-{}">{}/{}</span>', shade, run.attempt, run.max_attempts)


def run_url(run_id: int) -> str:
    return reverse("admin:schedules_run_change", args=[run_id])


def schedule_url(pk: int) -> str:
    return reverse("admin:schedules_schedule_change", args=[pk])


def run_link(run: Run, text: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', run_url(run.pk), text)


def strip(runs: Sequence[Run]) -> SafeString:
    """The last runs, oldest first, one coloured bar each. The bars are links with their own names."""
    if not runs:
        return quiet("no runs yet")
    bars = format_html_join(
        "",
        '<a class="bk-bar bk-{}" href="{}" title="{}"><span class="visually-hidden">{}</span></a>',
        ((tone(run), run_url(run.pk), _said(run), _said(run)) for run in runs),
    )
    return format_html('<span class="bk-strip" role="group" aria-label="{}">{}</span>', _summary(runs), bars)


def _said(run: Run) -> str:
    tries = f" after {run.attempt} attempts" if run.attempt > 1 else ""
    return f"{run.label}{tries}, due {words.absolute(run.scheduled_for, words.viewer_zone())}"


def _summary(runs: Sequence[Run]) -> str:
    good = sum(run.state == State.SUCCEEDED for run in runs)
    sent = sum(run.state == State.SENT for run in runs)
    return f"the last {len(runs)} runs, oldest first: {good} succeeded{f', {sent} sent' if sent else ''}"


@dataclass(frozen=True)
class Segment:
    """A stretch of the timeline, in thousandths of its width."""

    x: float
    width: float
    tone: str
    says: str


def timeline(run: Run, attempts: Sequence[Attempt], now: datetime) -> list[Segment]:
    """Attempts, and the waits before and between them, from due to finished (or now). Empty: nothing ran."""
    if not attempts:
        return []
    start = min(run.scheduled_for, attempts[0].started_at)
    end = max(run.finished_at or now, attempts[-1].finished_at or now)
    span = max((end - start).total_seconds(), 0.001)
    segments: list[Segment] = []
    at = start

    def add(until: datetime, shade: str, says: str) -> None:
        x, right = ((moment - start).total_seconds() / span * 1000 for moment in (at, until))
        segments.append(Segment(round(x, 1), round(max(right - x, 3), 1), shade, says))

    for attempt in attempts:
        if attempt.started_at > at:
            add(attempt.started_at, "gap", f"waited {words.length(attempt.started_at - at)}")
        at = attempt.started_at
        until = attempt.finished_at or now
        shade = _OUTCOME_TONES[Outcome(attempt.outcome)] if attempt.outcome else _BUSY
        add(until, shade, f"attempt {attempt.number}: {attempt.label}, {words.length(until - at)}")
        at = until
    if run.is_retrying and now > at:
        add(now, "gap", f"waiting for {words.length(now - at)}")
    return segments


def button(text: str, action: str, *, next_url: str = "", subject: str = "") -> SafeString:
    """Submits the form around it to another address: a state change by POST without nested forms."""
    return format_html(
        '<button type="submit" class="bk-button" formaction="{}" name="next" value="{}"'
        ' aria-label="{}">{}</button>',
        action,
        next_url,
        f"{text}: {visible(subject)}" if subject else text,
        text,
    )
