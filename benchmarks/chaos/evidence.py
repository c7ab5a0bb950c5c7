"""Reads the tables for `checker`, and turns the database's time into the host's. The only reader of rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from django.db import connection

from benchmarks.chaos import poison
from benchmarks.chaos.rows import AttemptRow, RunRow
from benchmarks.chaos.scratch import host_time
from schedules import auditing
from schedules.models import Attempt, AttemptOutput, Run, Schedule
from schedules.querysets import database_now

MOST_AUDITED = 50
KEPT = (64 + 192) << 10
"""Bytes of an attempt's output, its head and its tail; a character is a byte at least."""


@dataclass
class Clocks:
    """How far the database's clock was ahead of the host's, since when, in seconds."""

    steps: list[tuple[float, float]] = field(default_factory=list)

    def look(self) -> None:
        connection.close()  # it may be of a server that has crashed since
        before = host_time()
        now = database_now().timestamp()
        middle = (before + host_time()) / 2
        self.steps.append((middle, now - middle))

    def host_time_of(self, moment: datetime) -> float:
        """When the database's clock first showed it. A step forward passes many instants at once."""
        stamp = moment.timestamp()
        for number, (since, ahead) in enumerate(self.steps):
            shown = stamp - ahead if number == 0 else max(stamp - ahead, since)
            if number + 1 == len(self.steps) or shown < self.steps[number + 1][0]:
                return shown
        raise LookupError("nobody has looked at the clock yet")

    def was_shown_twice(self, moment: datetime) -> bool:
        """By a step back: an edit then may carry an earlier time than a run that was decided before it."""
        stamp = moment.timestamp()
        ends = [since for since, _ in self.steps[1:]] + [math.inf]
        shown = [
            (0.0 if number == 0 else since + ahead) <= stamp <= end + ahead
            for number, ((since, ahead), end) in enumerate(zip(self.steps, ends, strict=True))
        ]
        return sum(shown) > 1

    def latest(self, now: datetime) -> datetime:
        """The latest time that the database's clock has shown: before a step back it was later than `now`."""
        shown = [after[0] + before[1] for before, after in pairwise(self.steps)]
        return max([now, *(datetime.fromtimestamp(stamp, tz=now.tzinfo) for stamp in shown)])


def runs(after: int = 0) -> list[RunRow]:
    """Those whose key is above `after`."""
    columns = (
        *("pk", "schedule_id", "scheduled_for", "trigger", "state", "reason", "detail", "attempt"),
        *("missed_count", "missed_until", "created_at", "started_at", "finished_at"),
    )
    return [
        RunRow(*row)
        for row in Run.objects.filter(pk__gt=after).order_by("pk").values_list(*columns).iterator(5000)
    ]


def attempts(after: int = 0) -> list[AttemptRow]:
    """Those of the same runs."""
    columns = (
        *("run", "number", "outcome", "started_at", "finished_at"),
        *("error", "decision_text", "exit_code", "signal"),
        *("decision", "worker__pid", "late_result"),
    )
    rows = Attempt.objects.filter(run__gt=after).order_by("run", "number").values_list(*columns)
    return [
        AttemptRow(run, number, outcome, started_at, finished_at, _reason(*why), decision, pid, late)
        for run, number, outcome, started_at, finished_at, *why, decision, pid, late in rows.iterator(5000)
    ]


def _reason(error: str, decision: str, code: int | None, ended_by: str) -> str:
    return error or decision or (f"exit code {code}" if code else f"signal {ended_by}")


def counters() -> dict[int, int]:
    return dict(Schedule.objects.values_list("pk", "total_run_count"))


def audited(clocks: Clocks, since: datetime) -> list[str]:
    """What the product's audit finds, over all schedules and their revisions.

    It goes by the times of edits and decisions, which say nothing of their order where a time came twice.
    """
    said = [
        f"audit: {it.name}: {finding.at}: {finding.what}: {finding.cause}"
        for it, finding in auditing.audit(start=since).findings()
        if not clocks.was_shown_twice(finding.at)
    ]
    return said[:MOST_AUDITED]


def active() -> int:
    return Run.objects.active().count()


def oversized() -> list[str]:
    """Attempts that keep more of their output than they may."""
    rows = AttemptOutput.objects.filter(bytes_seen__gt=KEPT).order_by("pk").iterator(100)
    sizes = ((row.pk, sum(len(text) for _, text in (*row.head, *row.tail))) for row in rows)
    return [f"attempt {pk} keeps {size:,} characters of its output" for pk, size in sizes if size > KEPT]


def set_aside() -> Sequence[str]:
    """Schedules that are fine and were not taken for it, and the other way round."""
    rows = Schedule.objects.exclude(timing_error="").exclude(name__startswith=poison.PREFIX)
    wrongly = (f"{row.name} was set aside: {row.timing_error}" for row in rows)
    return [*wrongly, *poison.unnoticed()]
