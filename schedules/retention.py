"""Old runs are deleted, in small batches. Called by `beat` and by the command `prune_runs`.

Of each schedule the runs that are old go (`rules.keeping`), but never its last ones, never what is not
over, and never a run while another one is there that repeats it. A step is a few set-based statements
however many schedules there are, and one short transaction: a backlog never holds a lock for long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from schedules import conf, events
from schedules.keeping import keep_of, keep_of_the_gone
from schedules.models import Attempt, AttemptOutput, Beat, CommandCheck, CronComparison, Run, Schedule, Worker
from schedules.rules.keeping import Keep
from schedules.rules.states import FAILURES, FINAL, State
from schedules.sql.indexed import StateAmong, keys_of

SCHEDULES = 500
"""Schedules that one step looks at: two index probes each, and the last runs of those with old ones."""

FIRST_BRANCHES, BRANCHES = 4, 100
"""Reads of old runs in the first statement, which is enough where a few schedules have many, and in the
longest. SQLite takes 500."""

PROCESSES = 500
"""Rows of processes that one step looks at."""

FORGOTTEN_AFTER = timedelta(days=7)
"""Processes that have not been seen for so long, and what they said, are of no use to anybody."""

ROWS = 1000
"""Rows of checks or comparisons that one step deletes."""

COMPARISONS = 20
"""The latest comparisons with cron's log stay at any age."""

CALM = FINAL - FAILURES


@dataclass(frozen=True)
class Lot:
    """A schedule with runs that are old, or, `schedule` None, the runs whose schedule is gone.

    Only runs below the key may go: the others are the last of the schedule. None: there is no such key.
    """

    schedule: int | None
    keep: Keep
    below: int | None = None
    has_calm: bool = True
    has_failed: bool = True

    def old(self, now: datetime) -> Iterator[QuerySet[Run]]:
        """What may go, the oldest first: what failed apart from the rest, each through its own index."""
        if self.has_calm:
            yield self._ended(CALM, before=self.keep.before(now))
        if self.has_failed:
            yield self._ended(FAILURES, before=self.keep.failed_before(now))

    def _ended(self, states: Collection[State], *, before: datetime) -> QuerySet[Run]:
        repeats = Run.objects.filter(rerun_of=OuterRef("pk"))
        runs = Run.objects.filter(_of(self.schedule), StateAmong(states), ~Exists(repeats))
        old = runs.filter(finished_at__lt=before).order_by("schedule", "finished_at")
        return old if self.below is None else old.filter(pk__lt=self.below)


def _of(schedule: int | OuterRef | None) -> Q:
    """The runs of one schedule, in words that leave only the index by schedule *and* age in that order.

    With "schedule = 5" the schedule is a constant, any index by age gives the order, and PostgreSQL prefers
    one that holds the runs of all schedules where it expects to find enough of them soon.
    """
    if schedule is None:
        return Q(schedule__isnull=True)
    return Q(schedule__gte=schedule, schedule__lte=schedule)


class Pruner:
    """Walks over the schedules, then over the runs that have lost theirs, then over processes."""

    def __init__(self) -> None:
        self._after = 0
        self._worker = 0
        self.has_more = False
        """The last step could not delete all that it found."""

    def step(self, now: datetime) -> bool:
        """Deletes at most one batch. False: the walk is over, and the next step begins anew."""
        limit = conf.current().retention_batch
        pks = _next_schedules(self._after)
        deleted = _prune_lots(_lots(pks, now), now, limit=limit)
        self.has_more = deleted >= limit
        if self.has_more:
            return True  # the same schedules once more
        self._after = pks[-1] if pks else 0
        if not pks:
            self._worker = forget_processes(now, after=self._worker)
        return bool(pks)


def prune(chosen: Sequence[int] | None, now: datetime, *, limit: int) -> Iterator[int]:
    """Deletes all that may go, of these schedules, or of all and of those that are gone.

    Yields after each transaction how many runs it deleted, at most `limit`: a place to rest, or to stop.
    """
    for pks in _batches(chosen):
        lots = _lots(pks, now)
        for at in range(0, len(lots), BRANCHES // 4):
            some, deleted = lots[at : at + BRANCHES // 4], limit
            while deleted == limit:
                deleted = _prune_lots(some, now, limit=limit)
                if deleted:
                    yield deleted


def old_runs(chosen: Sequence[int] | None, now: datetime) -> Iterator[tuple[int | None, int]]:
    """What `prune` would delete: schedules, None for those that are gone, with a number of runs."""
    for pks in _batches(chosen):
        for lot in _lots(pks, now):
            if count := sum(old.order_by().count() for old in lot.old(now)):
                yield lot.schedule, count


def _prune_lots(lots: Sequence[Lot], now: datetime, *, limit: int) -> int:
    """One transaction."""
    deleted = delete(candidates(lots, now, limit=limit))
    if deleted:
        events.pruned(deleted)
    return deleted


def _batches(chosen: Sequence[int] | None) -> Iterator[Sequence[int]]:
    if chosen is not None:
        yield from (chosen[at : at + SCHEDULES] for at in range(0, len(chosen), SCHEDULES))
        return
    after = 0
    while pks := _next_schedules(after):
        yield pks
        after = pks[-1]
    yield ()


def _next_schedules(after: int) -> list[int]:
    rows = Schedule.objects.filter(pk__gt=after).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:SCHEDULES])


def _lots(pks: Sequence[int], now: datetime) -> list[Lot]:
    """No keys stand for the schedules that are gone."""
    return lots_of(pks, now) if pks else [Lot(None, keep_of_the_gone())]


def lots_of(pks: Sequence[int], now: datetime) -> list[Lot]:
    """Of these schedules, deleted ones included, those with runs that are old.

    One query, and one for each different number of runs that is kept.
    """
    aged: dict[int, list[Lot]] = defaultdict(list)
    for row in _with_oldest(pks):
        keep = keep_of(row)
        calm = row.oldest is not None and row.oldest < keep.before(now)
        failed = row.oldest_failed is not None and row.oldest_failed < keep.failed_before(now)
        if calm or failed:
            aged[keep.runs].append(Lot(row.pk, keep, has_calm=calm, has_failed=failed))
    return [lot for count, lots in aged.items() for lot in _beyond_the_last(count, lots)]


def _with_oldest(pks: Sequence[int]) -> QuerySet[Any]:
    """With `oldest` and `oldest_failed`: when the first run on record ended that did not fail, or failed."""
    ends = Run.objects.filter(_of(OuterRef("pk"))).order_by("schedule", "finished_at").values("finished_at")
    rows = Schedule.objects.filter(pk__in=pks).only("keep_days", "keep_failed_days", "keep_runs")
    found: QuerySet[Any] = rows.annotate(
        oldest=Subquery(ends.filter(StateAmong(CALM))[:1]),
        oldest_failed=Subquery(ends.filter(StateAmong(FAILURES))[:1]),
    )
    return found


def _beyond_the_last(count: int, lots: Sequence[Lot]) -> list[Lot]:
    """Those that have more than their last `count` runs, with the key of the oldest of these."""
    if not count:
        return list(lots)
    keys = Run.objects.filter(schedule=OuterRef("pk")).values("pk")
    rows = Schedule.objects.filter(pk__in=[lot.schedule for lot in lots]).annotate(
        first=Subquery(keys.order_by("pk")[:1]), kept=Subquery(keys.order_by("-pk")[count - 1 : count])
    )
    kept = {pk: kept for pk, first, kept in rows.values_list("pk", "first", "kept") if kept and first < kept}
    return [replace(lot, below=kept[lot.schedule]) for lot in lots if lot.schedule in kept]


def candidates(lots: Sequence[Lot], now: datetime, *, limit: int) -> list[int]:
    """Runs that may go, at most `limit`."""
    branches = (old[:limit] for lot in lots for old in lot.old(now))
    found: list[int] = []
    size = FIRST_BRANCHES
    while len(found) < limit and (some := list(islice(branches, size))):
        found += keys_of(some, using=Run.objects.db, limit=limit - len(found))
        size = min(size * 4, BRANCHES)
    return found


def delete(pks: Collection[int]) -> int:
    """Deletes these runs, which are over, with their attempts and output. Returns how many it were.

    Rows that somebody else has locked stay for another time; so does what somebody repeats meanwhile.
    """
    if not pks:
        return 0
    using = Run.objects.db
    with transaction.atomic(using):
        over = Run.objects.filter(pk__in=pks, finished_at__isnull=False).order_by("pk")
        locked = set(over.select_for_update(skip_locked=True).values_list("pk", flat=True))
        locked -= set(Run.objects.filter(rerun_of__in=locked).values_list("rerun_of_id", flat=True))
        attempts = Attempt.objects.filter(run__in=locked)
        # Without Django's collector, which would load every row to look for others that refer to it.
        AttemptOutput.objects.filter(attempt__in=attempts)._raw_delete(using)
        attempts._raw_delete(using)
        Run.objects.filter(pk__in=locked)._raw_delete(using)
    return len(locked)


def forget_processes(now: datetime, *, after: int = 0) -> int:
    """Rows of processes that are gone and of which no run speaks any more, and what they left.

    Looks at so many workers beyond the key `after`; returns where to go on, 0 at the end.
    """
    limit = now - FORGOTTEN_AFTER
    gone = Worker.objects.filter(seen_at__lt=limit, pk__gt=after).order_by("pk")
    seen = list(gone.values_list("pk", flat=True)[:PROCESSES])
    # History keeps its workers: to take them out of it would be to write it anew.
    unnamed = Worker.objects.filter(
        ~Exists(Run.objects.filter(worker=OuterRef("pk"))),
        ~Exists(Attempt.objects.filter(worker=OuterRef("pk"))),
        pk__in=seen,
    )
    _delete_some(unnamed, PROCESSES)
    if not after:
        _delete_some(Beat.objects.filter(seen_at__lt=limit), PROCESSES)
        _forget_checks(limit)
        _forget_comparisons(now)
    return seen[-1] if len(seen) == PROCESSES else 0


def _forget_checks(limit: datetime) -> None:
    """What was said of commands by workers that are gone for so long."""
    there = Worker.objects.filter(name=OuterRef("worker_name"))
    _delete_some(CommandCheck.objects.filter(~Exists(there), checked_at__lt=limit), ROWS)


def _forget_comparisons(now: datetime) -> None:
    last = CronComparison.objects.order_by("-pk").values_list("pk", flat=True)
    kept = next(iter(last[COMPARISONS - 1 : COMPARISONS]), 0)
    before = keep_of_the_gone().before(now)
    _delete_some(CronComparison.objects.filter(pk__lt=kept, compared_at__lt=before), ROWS)


def _delete_some(rows: QuerySet[Any], limit: int) -> None:
    """Rows to which nothing refers."""
    pks = list(rows.order_by("pk").values_list("pk", flat=True)[:limit])
    rows.model._default_manager.filter(pk__in=pks)._raw_delete(rows.db)
