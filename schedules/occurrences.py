"""Due instants become run rows: the one place that writes T1. In a transaction, with the schedules locked.

Called by `dispatch` for what is due, and by `catalog` and `reconcile`, which settle what is due under
the old revision before a new one takes over. The database is read and written a fixed number of
times, whatever the number of schedules.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F
from django_celery_beat.models import PeriodicTask

from schedules import conf, events, revisions
from schedules.errors import InvalidSchedule
from schedules.models import Revision, Run, Schedule
from schedules.querysets import database_now
from schedules.rules import timing
from schedules.rules.admission import Decision, Due, Limits, Start, admit, due_instants
from schedules.rules.definition import Definition, Kind, Mode, Overlap
from schedules.rules.states import State
from schedules.rules.timing import Timing


@dataclass
class Settled:
    """What one call did. `runs` holds pk, schedule_id and state of the inserted rows."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[Schedule] = field(default_factory=list)

    @property
    def started(self) -> list[dict[str, Any]]:
        return [row for row in self.runs if row["state"] == State.PENDING]


@dataclass(frozen=True)
class Plan:
    """What is to be written for one schedule."""

    schedule: Schedule
    definition: Definition
    decisions: list[Decision]
    next_at: datetime | None

    @property
    def starts(self) -> int:
        return sum(isinstance(decision, Start) for decision in self.decisions)

    @property
    def is_used_up(self) -> bool:
        """A one-off schedule that has had its run. A shadow has had none, and goes on."""
        return self.definition.one_off and self.starts > 0


def settle(schedules: Sequence[Schedule], *, now: datetime, by: str) -> Settled:
    """Accounts for every instant of `schedules` that is due at `now`, and moves `next_run_at` on.

    The rows come from `lock_due` or `lock`; those that are not due are left alone. `by` is the beat
    that decides, or who edits.
    """
    due = [row for row in schedules if row.is_due(now)]
    settled = Settled()
    if not due:
        return settled
    plans = _plans(due, now, settled)
    settled.runs = Run.objects.open([row for plan in plans for row in _rows(plan, now, by)])
    _advance(plans, settled.set_aside)
    _count(plans, now)
    for row in settled.runs:
        events.run_opened(row)
    return settled


def lock_settled(pks: Collection[int], *, by: str) -> tuple[list[Schedule], datetime]:
    """Takes the dispatch lock of `pks` and accounts for what is due under their revisions in force.

    Returns the rows as they then are, and the moment: what is written next applies strictly after it.
    The clock is read under the lock: a beat that held it may have decided what an earlier look at the
    clock would put after the edit.
    """
    rows = Schedule.objects.lock(pks)
    now = database_now()
    while due := [row for row in rows if row.enabled and not row.is_deleted and row.is_due(now)]:
        settle(due, now=now, by=by)  # after a long gap only a part of it
        rows = Schedule.objects.lock(pks)
    return rows, now


def _plans(due: Sequence[Schedule], now: datetime, settled: Settled) -> list[Plan]:
    found = _in_force(due)
    usable = {pk: known for pk, known in found.items() if isinstance(known, Known)}
    busy = _busy([pk for pk, it in usable.items() if it.definition.overlap == Overlap.SKIP])
    seen: dict[tuple[Timing, datetime], Due] = {}
    plans = []
    for row in due:
        try:
            if row.pk not in usable:
                raise InvalidSchedule(f"its revision cannot be read: {found[row.pk]}")
            plans.append(_plan(row, usable[row.pk], now, busy=row.pk in busy, seen=seen))
        except Exception as error:  # one bad row is set aside and never stops the batch
            row.timing_error = f"{type(error).__name__}: {error}"
            settled.set_aside.append(row)
            events.schedule_set_aside(row)
    return plans


def _plan(
    row: Schedule,
    known: Known,
    now: datetime,
    *,
    busy: bool,
    seen: dict[tuple[Timing, datetime], Due],
) -> Plan:
    assert row.next_run_at is not None
    values = conf.current()
    definition = known.definition
    key = (known.timing, row.next_run_at)
    if key not in seen:  # the next instant is computed once per distinct timing, not per schedule
        seen[key] = due_instants(known.timing, row.next_run_at, now, limit=values.missed_limit)
    decisions = admit(
        seen[key],
        now=now,
        catch_up=definition.catch_up,
        window=_length(definition.catch_up_window),
        start_deadline=_length(definition.start_deadline),
        busy=busy,
        limits=Limits(values.on_time, values.catch_up_limit, values.missed_limit),
        shadow=definition.mode == Mode.SHADOW,
    )
    return Plan(row, definition, decisions, seen[key].next_at)


def _rows(plan: Plan, now: datetime, by: str) -> list[dict[str, Any]]:
    return [_row(plan, decision, now) | {"decided_by": by} for decision in plan.decisions]


def _row(plan: Plan, decision: Decision, now: datetime) -> dict[str, Any]:
    row = run_columns(plan.schedule, plan.definition, now) | {"scheduled_for": decision.scheduled_for}
    if isinstance(decision, Start):
        return row | {"trigger": decision.trigger}
    return row | {
        "state": State.SKIPPED,
        "reason": decision.reason,
        "detail": decision.detail,
        "missed_count": decision.count if decision.until else 0,
        "missed_until": decision.until,
        "finished_at": now,
    }


def run_columns(schedule: Schedule, definition: Definition, now: datetime) -> dict[str, Any]:
    """Every column of a new run that its occurrence does not decide."""
    return {
        "schedule_id": schedule.pk,
        "name": definition.name,
        "revision_id": schedule.revision_id,
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
        "concurrency_key": f"schedule:{schedule.pk}",
        "exclusive": definition.overlap == Overlap.SKIP,
        "created_at": now,
        "available_at": now,
        "dispatches": 0,
        "finished_at": None,
    }


def queue_of(definition: Definition) -> str:
    """The queue by name, "" where Celery's own routing of the task decides."""
    if definition.queue or definition.kind == Kind.TASK:
        return definition.queue
    return conf.current().commands_queue


def _advance(plans: Sequence[Plan], set_aside: Sequence[Schedule]) -> None:
    rows = [
        {"pk": p.schedule.pk, "next_run_at": None if p.is_used_up else p.next_at, "timing_error": ""}
        for p in plans
    ]
    rows += [{"pk": row.pk, "next_run_at": None, "timing_error": row.timing_error} for row in set_aside]
    Schedule.objects.set_next_run(rows)
    for plan in plans:
        plan.schedule.next_run_at = None if plan.is_used_up else plan.next_at


def _count(plans: Sequence[Plan], now: datetime) -> None:
    """Keeps what django-celery-beat promises of its own columns: last run, number of runs, one-off."""
    once = [plan.schedule.pk for plan in plans if plan.starts == 1]
    PeriodicTask.objects.filter(pk__in=once).update(last_run_at=now, total_run_count=F("total_run_count") + 1)
    for plan in plans:
        if plan.starts > 1:  # catch-up "all", seldom
            PeriodicTask.objects.filter(pk=plan.schedule.pk).update(
                last_run_at=now, total_run_count=F("total_run_count") + plan.starts
            )
    _disable([plan.schedule.pk for plan in plans if plan.is_used_up], now)


def _disable(pks: Sequence[int], now: datetime) -> None:
    """One-off schedules that have had their run, seldom; a revision says so."""
    if pks:
        PeriodicTask.objects.filter(pk__in=pks).update(enabled=False)
        revisions.apply(Schedule.objects.lock(pks), by="beat", note="one-off: it has had its run", now=now)


def _busy(pks: Sequence[int]) -> set[int]:
    """Which of these schedules have a run that is not over."""
    if not pks:
        return set()
    return set(Run.objects.active().filter(schedule__in=pks).values_list("schedule", flat=True))


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


@dataclass(frozen=True)
class Known:
    """A definition with its timing, made once for each digest."""

    definition: Definition
    timing: Timing


Found = Known | Exception
"""An exception says why a revision cannot be read."""

_known: dict[str, Found] = {}
"""By digest: equal digests are equal definitions, so an entry is never stale."""
KNOWN_LIMIT = 50_000


def prepare(due_at: datetime, *, limit: int) -> None:
    """Learns ahead of time what will be due at `due_at`, so that a full hour's burst reads no definition."""
    _learn({digest: pk for pk, digest in Schedule.objects.due_at(due_at, limit)})


def _in_force(schedules: Sequence[Schedule]) -> dict[int, Found]:
    """What each schedule's revision says, by primary key. One query for the revisions not yet known."""
    found = _learn({row.revision.digest: row.revision.pk for row in schedules if row.revision})
    missing = LookupError("it is not there")
    return {row.pk: found.get(row.revision.digest, missing) if row.revision else missing for row in schedules}


def _learn(wanted: Mapping[str, int]) -> dict[str, Found]:
    """What the revisions, primary keys by digest, say. Other threads may clear what is known meanwhile."""
    found = {digest: known for digest in wanted if (known := _known.get(digest)) is not None}
    unknown = [pk for digest, pk in wanted.items() if digest not in found]
    if unknown:
        fresh = {row.digest: _read(row) for row in Revision.objects.filter(pk__in=unknown)}
        if len(_known) + len(fresh) > KNOWN_LIMIT:
            _known.clear()
        _known.update(fresh)
        found |= fresh
    return found


def _read(revision: Revision) -> Found:
    try:
        definition = Definition.from_dict(revision.definition)
        return Known(definition, timing.from_dict(definition.timing))
    except Exception as error:  # a zone that is gone, a revision of a later version
        return error
