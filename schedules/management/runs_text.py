"""One run in words, with its attempts and their output. Called by `show_run` and `run_now`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings

from schedules.management.output import local, output_text, printable
from schedules.models import Attempt, Run


def run_text(run: Run) -> str:
    """Prefetch attempts and their output. Times are in the installation's zone."""
    blocks = ["\n".join(_run_lines(run)), *("\n".join(_attempt_lines(it)) for it in run.attempts.all())]
    return "\n\n".join(blocks)


def duration(length: timedelta | None) -> str:
    """ "42 ms", "1.2 s", "3 min 20 s", "2 h 05 min"; "-" for None."""
    if length is None:
        return "-"
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _run_lines(run: Run) -> Iterator[str]:
    by = f" by {printable(run.triggered_by)}" if run.triggered_by else ""
    yield f"Run {run.pk} of {printable(run.name)}: {run.label}"
    yield f"  due       {local(run.scheduled_for)} {settings.TIME_ZONE} ({run.trigger}{by})"
    if run.started_at:
        yield f"  started   {local(run.started_at)}"
    if run.finished_at:
        yield f"  finished  {local(run.finished_at)} ({duration(run.duration)})"
    yield f"  attempts  {run.attempt} of {run.max_attempts}"
    if run.is_retrying:
        yield f"  next      {local(run.available_at)}"
    if run.detail:
        yield f"  reason    {printable(run.detail)}"


def _attempt_lines(attempt: Attempt) -> Iterator[str]:
    when = f"{local(attempt.started_at)}, {duration(attempt.duration)}"
    yield f"Attempt {attempt.number}: {_ending(attempt)} ({when})"
    if attempt.error:
        yield f"  {printable(attempt.error)}"
    if attempt.decision_text:
        yield f"  {printable(attempt.decision_text)}"
    yield from (f"  {printable(note)}" for note in attempt.notes.splitlines())
    if attempt.late_result:
        yield f"  {printable(attempt.late_result)}"
    if attempt.result:
        yield f"  result    {printable(attempt.result)}"
    if attempt.worker_name:
        yield f"  worker    {printable(attempt.worker_name)}"
    output = getattr(attempt, "output", None)
    text = output_text(output.text) if output else ""
    yield from (f"  | {line}" for line in text.removesuffix("\n").split("\n") if text)


def _ending(attempt: Attempt) -> str:
    if attempt.signal is not None:
        return f"{attempt.label}, signal {attempt.signal}"
    return attempt.label if attempt.exit_code is None else f"{attempt.label}, exit code {attempt.exit_code}"
