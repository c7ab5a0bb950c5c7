"""What the page of one run says, as values for its template. Reads nothing, escapes nothing but output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from schedules.admin import ansi, changes, presentation, words
from schedules.admin.ansi import visible
from schedules.admin.queries import SHOWN_OUTPUTS, RunPage
from schedules.models import Attempt, AttemptOutput, Run

SHORT_OUTPUT = 2000
"""Bytes, some 25 lines: the output of an earlier attempt that is no longer is shown without a click."""


@dataclass(frozen=True)
class Output:
    """Head and tail as HTML. `dropped` bytes between them were not kept."""

    head: SafeString
    tail: SafeString
    seen: int
    dropped: int


@dataclass(frozen=True)
class Block:
    """One attempt. `facts` are pairs of a word and a value; `output` is None where none was loaded."""

    number: int
    pill: SafeString
    ending: str
    facts: list[tuple[str, object]]
    error: str
    traceback: str
    result: str
    late_result: str
    decision: str
    retried: bool
    output: Output | None
    output_url: str
    is_looked_up: bool  # False: there may be output that this page does not show
    is_open: bool
    is_running: bool


def context(page: RunPage, *, sees_output: bool) -> dict[str, Any]:
    run, now = page.run, page.now
    definition = run.revision.definition if run.revision else {}
    zone = zone_of(definition)
    return {
        "run": run,
        "name": presentation.name(run.name),
        "sentence": visible(words.sentence(run, page.last, now)),
        "pill": presentation.run_pill(run),
        "facts": list(_facts(run, page.last, now, zone)),
        "segments": presentation.timeline(run, page.attempts, now),
        "timeline_ends": (presentation.instant(run.scheduled_for, zone), _end(run, now, zone)),
        "blocks": [
            _block(attempt, page, zone, sees_output=sees_output) for attempt in reversed(page.attempts)
        ],
        "hidden": page.hidden,
        "sees_output": sees_output,
        "previous": _neighbour(page.previous),
        "following": _neighbour(page.following),
        "definition": changes.fields(definition),
        "since": _since(run),
        "is_current": _is_current(run),
    }


def zone_of(definition: dict[str, Any]) -> str:
    """The zone of the definition's timing; "" where it has none."""
    timing = definition.get("timing") or {}
    return str((timing.get("timing") or timing).get("timezone", ""))


def _facts(run: Run, last: Attempt | None, now: datetime, zone: str) -> Iterator[tuple[str, object]]:
    yield "Due", presentation.moment(run.scheduled_for, now, zone)
    if run.started_at:
        yield "Started", presentation.instant(run.started_at, zone)
        yield "Late by", words.length(run.lateness)
    if run.finished_at:
        yield "Finished", presentation.instant(run.finished_at, zone)
    if run.duration is not None:
        yield "Took", words.length(run.duration)
    if run.missed_count > 1:
        until = presentation.instant(run.missed_until, zone)
        yield "Stands for", format_html("{} instants, until {}", run.missed_count, until)
    yield "Trigger", visible(words.trigger(run))
    if run.rerun_of is not None:
        yield "Repeats", presentation.run_link(run.rerun_of, f"run {run.rerun_of_id}")
    yield "Queue", visible(run.queue or "–")
    if run.worker is not None:
        yield "Worker", presentation.name(f"{run.worker.name} on {run.worker.host}")
    elif last is not None and last.worker_name:
        yield "Worker", presentation.name(last.worker_name)
    if run.revision is not None:
        yield "Revision", format_html('<a href="#definition">{}</a>', run.revision.number)


def _end(run: Run, now: datetime, zone: str) -> SafeString:
    return presentation.instant(run.finished_at, zone) if run.finished_at else presentation.quiet("now")


def _block(attempt: Attempt, page: RunPage, zone: str, *, sees_output: bool) -> Block:
    output = page.outputs.get(attempt.pk)
    is_last = attempt is page.last
    return Block(
        number=attempt.number,
        pill=presentation.outcome_pill(attempt),
        ending=visible(words.ending(attempt)),
        facts=list(_attempt_facts(attempt, page.now, zone)),
        error=visible(attempt.error) if attempt.error else "",
        traceback=visible(attempt.traceback) if sees_output else "",
        result=visible(attempt.result) if sees_output else "",
        late_result=visible(attempt.late_result),
        decision=visible(attempt.decision_text),
        retried=attempt.decision == "retry",
        output=_output(output) if output is not None else None,
        output_url=reverse("admin:schedules_run_output", args=[page.run.pk, attempt.number]),
        is_looked_up=attempt in page.attempts[-SHOWN_OUTPUTS:],
        is_open=is_last or (output is not None and output.bytes_seen <= SHORT_OUTPUT),
        is_running=attempt.finished_at is None,
    )


def _attempt_facts(attempt: Attempt, now: datetime, zone: str) -> Iterator[tuple[str, object]]:
    yield "Planned for", presentation.instant(attempt.planned_at, zone)
    yield "Started after", words.length(attempt.started_at - attempt.planned_at)
    ran = attempt.duration
    yield "Took", words.length(ran) if ran is not None else f"{words.length(now - attempt.started_at)} so far"
    if attempt.exit_code is not None:
        yield "Exit code", attempt.exit_code
    if attempt.signal is not None:
        yield "Signal", words.signal_name(attempt.signal)
    yield "Worker", presentation.name(attempt.worker_name or "–")
    if attempt.pid:
        yield "Process", attempt.pid
    if attempt.cpu_seconds is not None:
        yield "CPU", words.length(attempt.cpu_seconds)
    if attempt.peak_memory is not None:
        yield "Memory", words.memory(attempt.peak_memory)
    if attempt.notes:
        yield "Notes", attempt.notes
    if attempt.leftovers:
        yield "Left running", f"{attempt.leftovers} processes, ended with it"


def _output(output: AttemptOutput) -> Output:
    return Output(
        head=ansi.render(output.head),
        tail=ansi.render(output.tail),
        seen=output.bytes_seen,
        dropped=output.bytes_dropped,
    )


def _neighbour(run: Run | None) -> tuple[str, SafeString] | None:
    return None if run is None else (presentation.run_url(run.pk), presentation.run_pill(run))


def _is_current(run: Run) -> bool:
    return run.schedule is not None and run.schedule.revision_id == run.revision_id


def _since(run: Run) -> list[changes.Change]:
    """What the schedule's present definition has that the run's had not."""
    if run.schedule is None or run.schedule.revision is None or run.revision is None:
        return []
    return changes.between(run.revision.definition, run.schedule.revision.definition)
