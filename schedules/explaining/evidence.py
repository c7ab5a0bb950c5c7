"""What the tables know of one schedule around one moment, in a fixed number of queries.

Called by `explaining`, which concludes; here rows are found, and what was not found is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from schedules import conf
from schedules.models import Attempt, Beat, Run, Schedule, Worker
from schedules.rules.asked import Asked
from schedules.rules.history import Instant
from schedules.rules.states import BY_THE_CLOCK, Reason, State, Trigger

SHOWN_ATTEMPTS = 5
SHOWN_PROCESSES = 50
SHOWN_BY_HAND = 3
LOOKED_THROUGH = 1000
"""Runs of the schedule, newest first, among which those by hand are looked for."""


@dataclass(frozen=True)
class Evidence:
    """`run` stands for the instant that is explained; `previous` and `following` for its neighbours."""

    run: Run | None
    previous: Run | None
    following: Run | None
    attempts: list[Attempt]
    """The last few of `run`, oldest first."""
    blocker: Run | None
    """The run that was active when `run` was skipped for overlap."""
    catch_up: Run | None
    """The late run that was started when `run` was recorded as missed."""
    by_hand: list[Run]
    """Those that people started and that were not over at the moment that was asked about, newest first."""
    beats: list[Beat]
    workers: list[Worker]
    now: datetime

    @property
    def live_beats(self) -> list[Beat]:
        return [row for row in self.beats if is_alive(row, self.now)]

    def workers_of(self, queue: str) -> list[Worker]:
        return [row for row in self.workers if is_alive(row, self.now) and queue in _queues(row)]

    def beats_at(self, moment: datetime) -> list[Beat]:
        """Those on record that were running then, as far as their rows tell."""
        return [row for row in self.beats if row.started_at <= moment <= (row.stopped_at or row.seen_at)]


def is_alive(row: Beat | Worker, now: datetime) -> bool:
    return row.stopped_at is None and now - row.seen_at <= conf.current().lease


def _queues(worker: Worker) -> list[str]:
    return [name.strip() for name in worker.queues.split(",")]


def gather(
    schedule: Schedule,
    *,
    asked: Asked,
    instant: Instant | None,
    before: Instant | None,
    after: Instant | None,
    now: datetime,
) -> Evidence:
    """Nine queries at most."""
    run, following = run_for(schedule, instant), run_for(schedule, after)
    return Evidence(
        run=run,
        previous=run_for(schedule, before),
        following=following,
        attempts=_attempts(run),
        blocker=_blocker(run),
        catch_up=_catch_up(run),
        by_hand=_by_hand(schedule, asked, following) if asked.at <= now else [],
        beats=list(Beat.objects.order_by("-seen_at")[:SHOWN_PROCESSES]),
        workers=list(Worker.objects.alive().order_by("-seen_at")[:SHOWN_PROCESSES]),
        now=now,
    )


def run_for(schedule: Schedule, instant: Instant | None) -> Run | None:
    """The row of the instant, or the one that stands for a range of missed ones which holds it."""
    if instant is None:
        return None
    by_the_clock = Run.objects.filter(schedule=schedule, trigger__in=BY_THE_CLOCK)
    rows = by_the_clock.select_related("worker", "revision").filter(scheduled_for__lte=instant.at)
    found = rows.order_by("-scheduled_for").first()
    if found is None or (found.missed_until or found.scheduled_for) < instant.at:
        return None
    return found


def run_within(schedule: Schedule, start: datetime, end: datetime) -> Run | None:
    """The first run by the clock for a moment of start <= t < end."""
    rows = Run.objects.filter(schedule=schedule, trigger__in=BY_THE_CLOCK)
    return rows.filter(scheduled_for__gte=start, scheduled_for__lt=end).order_by("scheduled_for").first()


def _attempts(run: Run | None) -> list[Attempt]:
    if run is None or not run.attempt:
        return []
    newest = Attempt.objects.filter(run=run).defer("traceback", "result").order_by("-number")
    return list(newest[:SHOWN_ATTEMPTS])[::-1]


def _blocker(run: Run | None) -> Run | None:
    """The newest of those that were active when the run was skipped. Runs by hand count too."""
    if run is None or run.reason != Reason.OVERLAP:
        return None
    skipped_at = run.finished_at or run.created_at
    active = Q(finished_at__isnull=True) | Q(finished_at__gte=skipped_at)
    others = Run.objects.filter(active, schedule=run.schedule_id, pk__lt=run.pk, created_at__lte=skipped_at)
    return others.exclude(state=State.SKIPPED).order_by("-pk").first()


def _catch_up(run: Run | None) -> Run | None:
    if run is None or run.reason != Reason.MISSED:
        return None
    late = Run.objects.filter(schedule=run.schedule_id, pk__gt=run.pk, trigger=Trigger.CATCH_UP)
    # One of the missed instants: the index by instant finds it among all later runs.
    late = late.filter(scheduled_for__gte=run.scheduled_for, scheduled_for__lte=run.created_at)
    return late.filter(created_at=run.created_at).order_by("-scheduled_for").first()


def _by_hand(schedule: Schedule, asked: Asked, following: Run | None) -> list[Run]:
    """What was opened after the next run by the clock was opened later than what is asked about."""
    rows = Run.objects.filter(schedule=schedule)
    if following is not None:
        rows = rows.filter(pk__lt=following.pk)
    near = Run.objects.filter(pk__in=rows.order_by("-pk").values("pk")[:LOOKED_THROUGH])
    going_on = Q(finished_at__isnull=True) | Q(finished_at__gte=asked.at)
    found = near.filter(going_on, created_at__lt=asked.until).exclude(trigger__in=BY_THE_CLOCK)
    return list(found.order_by("-pk")[:SHOWN_BY_HAND])


def names(rows: Sequence[Beat] | Sequence[Worker]) -> str:
    """ "celerybeat@web1 and 2 more"."""
    first = ", ".join(row.name for row in rows[:3])
    return first if len(rows) <= 3 else f"{first} and {len(rows) - 3} more"
