"""Proves that every due instant has exactly one run, or says which has not. Called by `audit_firings`.

What was due is computed anew from the revisions in force; what became of it is read from the runs. The
rules are in `rules.audit`; here are the reads: a fixed number of queries for every few hundred
schedules, in one snapshot, with the runs streamed. The tests of faults ask it too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from django.db.models import QuerySet

from schedules import conf
from schedules.histories import histories_of
from schedules.keeping import keep_of
from schedules.models import Run, Schedule
from schedules.revisions import OUTSIDE
from schedules.rules.audit import Finding, Row, Standing, Verdict, judge
from schedules.rules.history import History
from schedules.rules.states import BY_THE_CLOCK, WAITING, State
from schedules.sql.snapshot import snapshot
from schedules.sql.streamed import streamed

BATCH = 200
"""Schedules whose revisions are in memory at once."""

STARTED, NOT_STARTED, CANCELLED = "started", "not_started_yet", "cancelled_before_start"
SKIPPED = "skipped_"
"""What a run is counted under; skipped ones with their reason behind it."""


@dataclass(frozen=True)
class ScheduleAudit:
    pk: int
    name: str
    is_deleted: bool
    verdict: Verdict


@dataclass
class Audit:
    """The instants of start <= at < end, by the database as of `now`. `remarks` say what was not judged."""

    start: datetime
    end: datetime
    now: datetime
    schedules: list[ScheduleAudit] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return all(it.verdict.is_clean for it in self.schedules)

    @property
    def due(self) -> int:
        return sum(it.verdict.due for it in self.schedules)

    @property
    def pending(self) -> int:
        return sum(it.verdict.pending for it in self.schedules)

    @property
    def by_boot(self) -> int:
        return sum(it.verdict.by_boot for it in self.schedules)

    @property
    def became(self) -> Counter[str]:
        return sum((it.verdict.became for it in self.schedules), Counter())

    @property
    def wrong(self) -> Counter[str]:
        return sum((it.verdict.wrong for it in self.schedules), Counter())

    def findings(self) -> Iterator[tuple[ScheduleAudit, Finding]]:
        return ((it, finding) for it in self.schedules for finding in it.verdict.findings)


def audit(
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    schedules: Collection[int] | None = None,
    tag: str = "",
) -> Audit:
    """Judges start <= at < end: by default all that retention keeps, until now.

    `schedules` are primary keys, deleted ones included; None: all, or those with the tag.
    """
    with snapshot() as now:
        done = _window(start, end, now)
        ranges = _ranges_reaching(done.start)
        for batch in _batches(schedules, tag):
            done.schedules += _judge_batch(batch, ranges, done)
        if schedules is None and not tag:
            done.remarks += _remarks_on_orphans(done)
        return done


def _window(start: datetime | None, end: datetime | None, now: datetime) -> Audit:
    """Clipped to what can be judged, with a remark where that is less than was asked for."""
    kept = now - timedelta(days=conf.current().retention_days)
    begin, stop = max(start or kept, kept), min(end or now, now)
    done = Audit(begin, max(begin, stop), now)
    if start is not None and start < kept:
        days = conf.current().retention_days
        done.remarks.append(f"what was due before is not judged: retention deletes runs after {days:g} days")
    if end is not None and end > now:
        done.remarks.append("what is due later is not judged: it has not happened yet")
    return done


def _batches(schedules: Collection[int] | None, tag: str) -> Iterator[list[Schedule]]:
    rows = Schedule.objects.order_by("pk").only(
        *("name", "tags", "next_run_at", "timing_error", "deleted_at"),
        *("keep_days", "keep_failed_days", "keep_runs"),
    )
    if schedules is not None:
        rows = rows.filter(pk__in=schedules)
    if tag:
        rows = rows.filter(tags__contains=tag)
    after = 0
    while batch := list(rows.filter(pk__gt=after)[:BATCH]):
        after = batch[-1].pk
        yield [row for row in batch if not tag or tag in row.tags.split()]


def _judge_batch(batch: Sequence[Schedule], ranges: dict[int, list[Row]], done: Audit) -> list[ScheduleAudit]:
    pks = [row.pk for row in batch]
    histories = histories_of(pks)
    return [
        ScheduleAudit(
            schedule.pk,
            schedule.given_name,
            schedule.is_deleted,
            judge(
                histories.get(schedule.pk, History(())),
                _reaching(since, chain(ranges.get(schedule.pk, ()), rows)),
                start=since,
                end=done.end,
                standing=_standing(schedule, done),
            ),
        )
        for schedule, rows in _with_rows(batch, _runs(pks, done))
        for since in [_kept_since(schedule, done)]
    ]


def _kept_since(schedule: Schedule, done: Audit) -> datetime:
    """A schedule may keep its runs for less long than others: what was due before is not judged."""
    return min(max(done.start, keep_of(schedule).before(done.now)), done.end)


def _reaching(since: datetime, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows that stand for a moment from `since` on: what is older may be there or not."""
    return (row for row in rows if (row.until or row.scheduled_for) >= since)


def _with_rows(
    batch: Sequence[Schedule], runs: Iterator[tuple[int, Iterator[Row]]]
) -> Iterator[tuple[Schedule, Iterator[Row]]]:
    """Each schedule with its rows. Both come in the order of primary keys; some have no rows."""
    nothing: tuple[int, Iterator[Row]] = (0, iter(()))
    pk, rows = next(runs, nothing)
    for schedule in batch:
        if schedule.pk == pk:
            yield schedule, rows
            pk, rows = next(runs, nothing)
        else:
            yield schedule, iter(())


def _standing(schedule: Schedule, done: Audit) -> Standing:
    return Standing(
        now=done.now,
        on_time=conf.current().on_time,
        next_run_at=schedule.next_run_at,
        timing_error=schedule.timing_error,
        outside=OUTSIDE,
    )


_COLUMNS = (
    *("schedule_id", "pk", "scheduled_for", "missed_until", "missed_count"),
    *("state", "reason", "started_at", "decided_by", "created_at"),
)


def _by_the_clock() -> QuerySet[Run]:
    return Run.objects.filter(trigger__in=BY_THE_CLOCK)


def _runs(pks: Collection[int], done: Audit) -> Iterator[tuple[int, Iterator[Row]]]:
    """What begins in the time of the audit, streamed, by schedule and instant."""
    rows = (
        _by_the_clock()
        .filter(schedule__in=pks, scheduled_for__gte=done.start, scheduled_for__lt=done.end)
        .order_by("schedule", "scheduled_for", "pk")
        .values_list(*_COLUMNS)
    )
    return ((pk, map(_row, group)) for pk, group in groupby(streamed(rows), key=itemgetter(0)))


def _ranges_reaching(start: datetime) -> dict[int, list[Row]]:
    """Rows that stand for missed instants from before `start` into the time of the audit. One query."""
    rows = (
        _by_the_clock()
        .filter(scheduled_for__lt=start, missed_until__gte=start, schedule__isnull=False)
        .order_by("schedule", "scheduled_for", "pk")
        .values_list(*_COLUMNS)
    )
    return {pk: [_row(row) for row in group] for pk, group in groupby(rows, key=itemgetter(0))}


def _row(values: tuple[Any, ...]) -> Row:
    _, pk, scheduled_for, until, count, state, reason, started_at, decided_by, created_at = values
    became = _became(state, reason, started_at)
    return Row(pk, scheduled_for, until, count, became, decided_by, created_at)


def _became(state: str, reason: str, started_at: datetime | None) -> str:
    if state == State.SKIPPED:
        return SKIPPED + reason
    if started_at is not None:
        return STARTED
    return NOT_STARTED if state in WAITING else CANCELLED


def _remarks_on_orphans(done: Audit) -> list[str]:
    """Runs whose schedule somebody deleted outside Beatkeeper: its revisions cannot be told any more."""
    runs = _by_the_clock().filter(schedule=None, scheduled_for__gte=done.start, scheduled_for__lt=done.end)
    found = runs.count()
    return (
        [f"{found:,} runs of schedules that were deleted outside Beatkeeper are not judged"] if found else []
    )
