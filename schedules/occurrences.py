"""Due instants become run rows: the one place that writes T1. In a transaction, with the schedules locked.

Called by `dispatch` for what is due, and by `catalog` and `reconcile`, which settle what is due under
the old revision before a new one takes over. The database is read and written a fixed number of times,
whatever the number of schedules, and schedules of equal terms that are due at one instant are decided
once: what their runs have in common is a shape.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django_celery_beat.models import PeriodicTask

from schedules import conf, events, revisions
from schedules.errors import InvalidSchedule
from schedules.models import Run, Schedule
from schedules.querysets import Doorbell, database_now
from schedules.rules.admission import Decision, Due, Limits, Start, admit, due_instants
from schedules.rules.definition import Definition, Kind, Mode, Overlap
from schedules.rules.states import State
from schedules.rules.timing import Timing
from schedules.sql.due import DueRow
from schedules.sql.opening import Move, Opening
from schedules.terms import Found, Known, Terms, learn


@dataclass(frozen=True)
class Ringing:
    """The caller rings at once: what starts is opened as queued (T1 and T2 in one), its message counted.

    `redispatch_at`: when that message counts as lost. `full`: queues that take no new message.
    """

    redispatch_at: datetime
    full: Collection[str]


@dataclass
class Settled:
    """What one call did. `runs` holds pk, schedule_id and state of the inserted rows."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    set_aside: int = 0
    bells: list[Doorbell] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What becomes of schedules of equal terms that are due at one instant."""

    shapes: list[dict[str, Any]]
    next_at: datetime | None
    starts: int
    is_used_up: bool
    """One-off, and has had its run. A shadow has had none, and goes on."""


@dataclass
class Batch:
    """What is to be written. `plans` are kept by what decides them."""

    now: datetime
    by: str
    ringing: Ringing | None
    busy: Collection[int]
    plans: dict[tuple[Terms, datetime, bool], tuple[Plan, list[int]]] = field(default_factory=dict)
    numbers: dict[tuple[Any, ...], int] = field(default_factory=dict)
    shapes: list[dict[str, Any]] = field(default_factory=list)
    openings: list[Opening] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    used_up: list[int] = field(default_factory=list)

    def add(self, row: DueRow, known: Known) -> None:
        plan, numbers = self._planned(row, known.terms)
        for number in numbers:
            self.openings.append(Opening(row.pk, row.revision_id, known.name, number))
        self.moves.append(Move(row.pk, plan.next_at, plan.starts))
        if plan.is_used_up:
            self.used_up.append(row.pk)

    def _planned(self, row: DueRow, terms: Terms) -> tuple[Plan, list[int]]:
        key = (terms, row.next_run_at, row.pk in self.busy)
        found = self.plans.get(key)
        if found is None:
            plan = _plan(*key, now=self.now, by=self.by, ringing=self.ringing)
            found = self.plans[key] = plan, [self._number(shape) for shape in plan.shapes]
        return found

    def _number(self, shape: dict[str, Any]) -> int:
        """Of a shape among those of the batch: timings that differ have runs of one shape."""
        values = tuple(shape.values())
        number = self.numbers.setdefault(values, len(self.shapes))
        if number == len(self.shapes):
            self.shapes.append(shape)
        return number

    def set_aside(self, row: DueRow, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        self.moves.append(Move(row.pk, None, 0, said))
        events.schedule_set_aside(Schedule(pk=row.pk, timing_error=said))


def settle(rows: Sequence[DueRow], *, now: datetime, by: str, ringing: Ringing | None = None) -> Settled:
    """Accounts for every instant of `rows` that is due at `now`, and moves `next_run_at` on.

    The rows are locked and due. `by` is the beat that decides, or who edits.
    """
    if not rows:
        return Settled()
    known = learn({row.digest: row.revision_id for row in rows if row.revision_id})
    batch = Batch(now, by, ringing, _busy(rows, known))
    aside = 0
    for row in rows:
        try:
            batch.add(row, _usable(known.get(row.digest)))
        except Exception as error:  # one bad row is set aside and never stops the batch
            batch.set_aside(row, error)
            aside += 1
    opened = Run.objects.open_due(batch.shapes, batch.openings, batch.moves, now=now)
    _disable(batch.used_up, now)
    for run in opened:
        events.run_opened(run)
    return Settled(opened, aside, _bells(opened, rows, known, batch))


def lock_settled(pks: Collection[int], *, by: str) -> tuple[list[Schedule], datetime]:
    """Takes the dispatch lock of `pks` and accounts for what is due under their revisions in force.

    Returns the rows as they then are, and the moment: what is written next applies strictly after it.
    The clock is read under the lock: a beat that held it may have decided what an earlier look at the
    clock would put after the edit.
    """
    rows = Schedule.objects.lock(pks)
    now = database_now()
    while due := [row for row in rows if row.enabled and not row.is_deleted and row.is_due(now)]:
        settle([_due_row(row) for row in due], now=now, by=by)  # after a long gap only a part of it
        rows = Schedule.objects.lock(pks)
    return rows, now


def _due_row(row: Schedule) -> DueRow:
    assert row.next_run_at is not None
    revision = row.revision
    return DueRow(row.pk, row.next_run_at, revision and revision.pk, revision.digest if revision else "")


def _usable(found: Found | None) -> Known:
    if isinstance(found, Known):
        return found
    raise InvalidSchedule(f"its revision cannot be read: {found or LookupError('it is not there')}")


def _plan(
    terms: Terms, first: datetime, busy: bool, *, now: datetime, by: str, ringing: Ringing | None
) -> Plan:
    values = conf.current()
    definition = terms.definition
    due = _due_instants(terms.timing, first, now, limit=values.missed_limit)
    decisions = admit(
        due,
        now=now,
        catch_up=definition.catch_up,
        window=_length(definition.catch_up_window),
        start_deadline=_length(definition.start_deadline),
        busy=busy,
        limits=Limits(values.on_time, values.catch_up_limit, values.missed_limit),
        shadow=definition.mode == Mode.SHADOW,
    )
    starts = sum(isinstance(decision, Start) for decision in decisions)
    used_up = definition.one_off and starts > 0
    common = _columns(definition, now) | {"decided_by": by}
    shapes = [common | _decided(decision, now, common["queue"], ringing) for decision in decisions]
    return Plan(shapes, None if used_up else due.next_at, starts, used_up)


def _due_instants(timing: Timing, first: datetime, now: datetime, *, limit: int) -> Due:
    """Mostly the next one is in the future: then it is worked out once, however many batches follow."""
    after = _next_after(timing, first)
    if after is None or after > now:
        return Due((first,), after)
    return due_instants(timing, first, now, limit=limit)


@lru_cache(maxsize=16_384)
def _next_after(timing: Timing, moment: datetime) -> datetime | None:
    return timing.next_after(moment)


def _decided(decision: Decision, now: datetime, queue: str, ringing: Ringing | None) -> dict[str, Any]:
    """The columns in which runs of one plan differ."""
    at: dict[str, Any] = {"scheduled_for": decision.scheduled_for}
    if not isinstance(decision, Start):
        return at | {
            "state": State.SKIPPED,
            "reason": decision.reason,
            "detail": decision.detail,
            "missed_count": decision.count if decision.until else 0,
            "missed_until": decision.until,
            "finished_at": now,
        }
    at |= {"trigger": decision.trigger}
    if ringing is None or queue in ringing.full:
        return at
    queued = {"state": State.QUEUED, "dispatches": 1, "queued_at": now}
    return at | queued | {"redispatch_at": ringing.redispatch_at}


def run_columns(schedule: Schedule, definition: Definition, now: datetime) -> dict[str, Any]:
    """Every column of a new run that its occurrence does not decide."""
    return {
        "schedule_id": schedule.pk,
        "name": definition.name,
        "revision_id": schedule.revision_id,
        "concurrency_key": f"schedule:{schedule.pk}",
        **_columns(definition, now),
    }


def _columns(definition: Definition, now: datetime) -> dict[str, Any]:
    """Those of them in which schedules of equal terms do not differ."""
    return {
        "scheduled_for": now,
        "trigger": "schedule",
        "triggered_by": "",
        "decided_by": "",
        "queue": queue_of(definition),
        "state": State.PENDING,
        "reason": "",
        "detail": "",
        "missed_count": 0,
        "missed_until": None,
        "attempt": 0,
        "max_attempts": definition.retry.max_attempts,
        "cancel_requested": False,
        "exclusive": definition.overlap == Overlap.SKIP,
        "created_at": now,
        "available_at": now,
        "redispatch_at": None,
        "dispatches": 0,
        "queued_at": None,
        "finished_at": None,
    }


def queue_of(definition: Definition) -> str:
    """The queue by name, "" where Celery's own routing of the task decides."""
    if definition.queue or definition.kind == Kind.TASK:
        return definition.queue
    return conf.current().commands_queue


def _bells(
    opened: Sequence[dict[str, Any]], rows: Sequence[DueRow], known: Mapping[str, Found], batch: Batch
) -> list[Doorbell]:
    if batch.ringing is None:
        return []
    by_pk = {row.pk: row for row in rows}
    return [
        Doorbell(run["pk"], 1, found.name, queue_of(found.terms.definition), row.revision_id, row.digest)
        for run in opened
        if run["state"] == State.QUEUED
        and isinstance(found := known[(row := by_pk[run["schedule_id"]]).digest], Known)
    ]


def _disable(pks: Sequence[int], now: datetime) -> None:
    """One-off schedules that have had their run, seldom; a revision says so."""
    if pks:
        PeriodicTask.objects.filter(pk__in=pks).update(enabled=False)
        revisions.apply(Schedule.objects.lock(pks), by="beat", note="one-off: it has had its run", now=now)


def _busy(rows: Sequence[DueRow], known: Mapping[str, Found]) -> set[int]:
    """Which of these schedules may not overlap and have a run that is not over."""
    exclusive = {
        digest
        for digest, found in known.items()
        if isinstance(found, Known) and found.terms.definition.overlap == Overlap.SKIP
    }
    pks = [row.pk for row in rows if row.digest in exclusive] if exclusive else []
    if not pks:
        return set()
    return set(Run.objects.active().filter(schedule__in=pks).values_list("schedule", flat=True))


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
