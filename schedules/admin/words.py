"""Lengths, ages, moments, endings and decisions in words. Pure; what they look like is in `presentation`."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone

from schedules.errors import BeatkeeperError
from schedules.models import Attempt, Run
from schedules.rules.cron.clock import zone
from schedules.rules.states import Outcome, State, Trigger
from schedules.runner.messages import Ending

_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_LATE = timedelta(seconds=1)
UNHEARD = "What became of it is known only where its worker sends events (celery worker -E)."

_TRIGGERS = {
    Trigger.SCHEDULE: "by its schedule",
    Trigger.CATCH_UP: "to catch up after a downtime",
    Trigger.MANUAL: "by hand",
    Trigger.RERUN: "as a repeat",
}


def length(span: timedelta | float | None) -> str:
    """ "340 ms", "28 s", "4 min 10 s", "3 h 5 min", "12 d 4 h"; "" for None."""
    if span is None:
        return ""
    seconds = span.total_seconds() if isinstance(span, timedelta) else float(span)
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts: list[str] = []
    for size, unit in _STEPS:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def rough(span: timedelta) -> str:
    """One unit: "28 s", "4 min", "3 h", "12 d"."""
    seconds = int(max(0.0, span.total_seconds()))
    for size, unit in _STEPS:
        if seconds >= size * (2 if size > 1 else 1) or size == 1:
            return f"{seconds // size} {unit}"
    return "0 s"


def relative(moment: datetime, now: datetime) -> str:
    """ "in 28 s", "4 min ago", "now"."""
    distance = moment - now
    if abs(distance) < timedelta(seconds=1):
        return "now"
    return f"in {rough(distance)}" if distance > timedelta(0) else f"{rough(-distance)} ago"


def absolute(moment: datetime, where: ZoneInfo) -> str:
    """ "Mon 2026-11-23 04:30 CET", with seconds where there are any."""
    try:
        local = moment.astimezone(where)
    except OverflowError:  # within hours of the end of the calendar
        local = moment.astimezone(UTC)
    clock = "%H:%M:%S" if local.second else "%H:%M"
    return f"{local:%a %Y-%m-%d {clock} %Z}"


def viewer_zone() -> ZoneInfo:
    found = timezone.get_current_timezone()
    return found if isinstance(found, ZoneInfo) else ZoneInfo("UTC")


def zone_or_viewers(name: str) -> ZoneInfo:
    """The zone of that name; the viewer's where the name is empty or cannot be used."""
    try:
        return zone(name) if name else viewer_zone()
    except BeatkeeperError:
        return viewer_zone()


def signal_name(number: int) -> str:
    try:
        return f"{signal.Signals(number).name} ({number})"
    except ValueError:
        return f"signal {number}"


def ending(attempt: Attempt) -> str:
    """How an attempt ended: "exit code 75", "ended by SIGKILL (9)", "ConnectionError: refused"."""
    if attempt.outcome == Outcome.TIMED_OUT:
        return f"its time was up after {length(attempt.duration)}"
    if attempt.outcome in (Outcome.WORKER_LOST, Outcome.INTERRUPTED):
        return "the worker vanished" if attempt.outcome == Outcome.WORKER_LOST else "the worker was stopped"
    if attempt.error_class == Ending.OVER_LIMIT:
        return first_line(attempt.error[:1].lower() + attempt.error[1:])
    if attempt.signal is not None:
        return f"ended by {signal_name(attempt.signal)}"
    if attempt.exit_code is not None:
        return f"exit code {attempt.exit_code}{_meaning(attempt.exit_code)}"
    if attempt.error_class:
        return f"{attempt.error_class}: {first_line(attempt.error)}".rstrip(": ")
    return ""


def _meaning(code: int) -> str:
    """What shells and sysexits.h mean by it."""
    known = {
        75: "temporary failure",
        126: "the command cannot be executed",
        127: "no such command",
        64: "wrong usage",
        69: "a service is unavailable",
        77: "permission denied",
        78: "wrong configuration",
    }
    return f" ({known[code]})" if code in known else ""


def first_line(text: str, limit: int = 160) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= limit else line[: limit - 1] + "…"


def lateness(run: Run) -> str:
    """ "12 s late", or "" where the run started in time or not at all."""
    late = run.lateness
    return f"{length(late)} late" if late is not None and late >= _LATE else ""


def trigger(run: Run) -> str:
    words = _TRIGGERS.get(Trigger(run.trigger), run.trigger)
    return f"{words} ({run.triggered_by})" if run.triggered_by else words


def sentence(run: Run, last: Attempt | None, now: datetime) -> str:
    """What became of the run, as the first thing that its page says. `last` is its latest attempt."""
    state = State(run.state)
    if state == State.SUCCEEDED:
        which = f" on attempt {run.attempt} of {run.max_attempts}" if run.attempt > 1 else ""
        late = lateness(run)
        return f"Succeeded{which}{', ' + late if late else ''}."
    if state == State.RUNNING:
        stopping = ", and is being ended" if run.cancel_requested else ""
        return f"Attempt {run.attempt} of {run.max_attempts} is running{stopping}."
    if state in (State.PENDING, State.QUEUED):
        return _waiting(run, now)
    if state in (State.SKIPPED, State.CANCELLED):
        return f"{state.capitalize()}: {run.detail or run.reason or 'no reason was recorded.'}"
    if state == State.SENT:
        return f"{run.detail} {UNHEARD}".lstrip()
    return _failed(run, last)


def _waiting(run: Run, now: datetime) -> str:
    when = "now" if run.available_at <= now else relative(run.available_at, now)
    if run.attempt:
        return f"Waits for attempt {run.attempt + 1} of {run.max_attempts}, {when}."
    if run.state == State.QUEUED:
        return f"Waits for a worker of the queue {run.queue}."
    where = f" to the queue {run.queue}" if run.queue else ""
    return f"Waits to be sent{where}, {when}. {run.detail}".rstrip()


def _failed(run: Run, last: Attempt | None) -> str:
    word = {State.TIMED_OUT: "Timed out", State.LOST: "Lost"}.get(State(run.state), "Failed")
    why = ending(last) if last else run.detail
    which = f" on attempt {run.attempt} of {run.max_attempts}" if run.max_attempts > 1 else ""
    return f"{word}{which}{': ' + why.rstrip('.') if why else ''}."


def memory(size: int | None) -> str:
    if size is None:
        return ""
    if size < 1024 * 1024:
        return f"{size / 1024:.0f} KiB"
    return f"{size / 1024 / 1024:.3g} MiB" if size < 1024**3 else f"{size / 1024**3:.3g} GiB"


def utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
