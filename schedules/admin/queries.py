"""Every read of the pages, each a fixed number of queries however many rows are shown.

Nothing is written and nothing is formatted here. Called by the views and the change lists.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery

from schedules.models import (
    Attempt,
    AttemptOutput,
    Beat,
    CommandCheck,
    RetryPolicy,
    Revision,
    Run,
    Schedule,
    Worker,
)
from schedules.querysets import database_now
from schedules.rules.states import ACTIVE, FAILURES, WAITING, State
from schedules.sql.indexed import StateAmong, troubled_schedules

SHOWN_ATTEMPTS = 50
SHOWN_OUTPUTS = 5
SHOWN_REVISIONS = 30
MOST_COUNTED = 1000
"""Counts over history stop here; the page says "1000+"."""
MOST_NAMED = 50
"""Schedules through whose runs a search pages, each in its own order."""
MOST_TROUBLED = 20_000
"""Schedules that a condition names one by one; some builds of SQLite take 32,766."""
PROCESSES_SHOWN = timedelta(days=1)

_LIST_COLUMNS = (
    *("id", "schedule_id", "name", "state", "reason", "detail", "trigger", "triggered_by", "scheduled_for"),
    *("attempt", "max_attempts", "available_at", "started_at", "finished_at", "cancel_requested", "queue"),
    "missed_count",
)


def last_runs(schedule_ids: Sequence[int], count: int) -> dict[int, list[Run]]:
    """The newest `count` runs of each schedule, oldest first. Two queries.

    The first finds each schedule's lowest run to show through the index (schedule, -id): a window
    over the history would read all of it.
    """
    if not schedule_ids:
        return {}
    of_schedule = Run.objects.filter(schedule=OuterRef("pk")).order_by("-id").values("pk")
    floors = Schedule.objects.filter(pk__in=schedule_ids).annotate(
        floor=Subquery(of_schedule[count - 1 : count])
    )
    wanted = Q(pk__in=[])
    for pk, floor in floors.values_list("pk", "floor").order_by():
        wanted |= Q(schedule_id=pk, id__gte=floor or 0)
    found: dict[int, list[Run]] = defaultdict(list)
    for run in Run.objects.filter(wanted).order_by("id").only(*_LIST_COLUMNS):
        if run.schedule_id is not None:
            found[run.schedule_id].append(run)
    return found


def with_last_state(wanted: Q, *, among: Q | None = None) -> list[int]:
    """The schedules that `wanted` is true of; it asks for `last_state`: that of the newest run with an end.

    A run that waits for its retry has one: its attempt failed. One probe of some 10 microseconds for each
    live schedule, or for those `among` them, once: a list asks its question twice, for the rows and for
    their number.
    """
    ended = Q(finished_at__isnull=False) | Q(state__in=WAITING, attempt__gt=0)
    newest = Run.objects.filter(ended, schedule=OuterRef("pk")).order_by("-id")
    rows = Schedule.objects.live().filter(among or Q())
    found = rows.annotate(last_state=Subquery(newest.values("state")[:1])).filter(wanted)
    return list(found.values_list("pk", flat=True))


def last_failed() -> list[int]:
    """The schedules whose newest run with an end failed, or waits for its retry. Three queries.

    Probed are those with a failure on record. Where these are more than an eighth of all, all are probed: to
    find one that failed costs more than a probe, and nothing short of a write at the end of each run tells
    those whose failure is the last from those that have succeeded since.
    """
    few = min(Schedule.objects.count() // 8, MOST_TROUBLED)
    troubled = troubled_schedules(using=Run.objects.db, limit=few)
    among = None if troubled is None else Q(pk__in=troubled)
    return with_last_state(Q(last_state__in=FAILURES | WAITING), among=among)


def schedules_on_page(keys: Sequence[int]) -> list[Schedule]:
    """The rows of a page, in its order, by their keys: sorted with all that they show they cost far more."""
    found = schedule_rows().in_bulk(keys)
    return [found[key] for key in keys if key in found]


def schedule_rows() -> QuerySet[Schedule]:
    """The live schedules with what a row of the list shows."""
    return Schedule.objects.live().select_related("revision", "interval", "crontab", "clocked", "solar")


def schedule(pk: int) -> Schedule | None:
    """One live schedule with everything that its form shows."""
    return schedule_rows().select_related("retry_policy").filter(pk=pk).first()


def command_checks(schedule_ids: Sequence[int]) -> dict[int, list[CommandCheck]]:
    """What workers said of each command, newest first, with `is_there`: the worker still is. One query."""
    there = Worker.objects.alive().filter(name=OuterRef("worker_name"))
    rows = CommandCheck.objects.filter(schedule__in=schedule_ids).annotate(is_there=Exists(there))
    found: dict[int, list[CommandCheck]] = defaultdict(list)
    for row in rows.order_by("-checked_at", "worker_name"):
        found[row.schedule_id].append(row)
    return found


def history(pk: int) -> list[Revision]:
    """The newest revisions, and one more, so that each shown one has its predecessor."""
    return list(Revision.objects.filter(schedule=pk).order_by("-number")[: SHOWN_REVISIONS + 1])


def run_rows() -> QuerySet[Run]:
    return Run.objects.select_related("worker", "revision").only(
        *_LIST_COLUMNS, "worker__name", "revision__number"
    )


def of_schedules_named(runs: QuerySet[Run], text: str) -> tuple[QuerySet[Run], list[Q] | None]:
    """The runs of schedules whose names, as they are now, hold every word; and a condition for each schedule.

    None where these are more than `MOST_NAMED`. Runs whose schedule is gone are known by the name that they
    kept. One query.
    """
    words = text.split()
    of_name = Q(*(Q(name__icontains=word) for word in words))
    keys = list(Schedule.objects.filter(of_name).values_list("pk", flat=True)[: MOST_NAMED + 1])
    if len(keys) > MOST_NAMED:
        return runs.filter(of_name), None
    gone = Q(schedule=None) & of_name
    found = runs.filter(Q(schedule__in=keys) | gone)
    return found, [*(Q(schedule=key) for key in keys), gone]


def created_at(run_id: int) -> datetime | None:
    return Run.objects.filter(pk=run_id).values_list("created_at", flat=True).first()


def last_attempts(runs: Iterable[Run]) -> dict[int, Attempt]:
    """The latest attempt of each run that had one, without its output and traceback. One query."""
    ids = [run.pk for run in runs]
    found = Attempt.objects.filter(run__in=ids, number=F("run__attempt")).defer("traceback", "result")
    return {attempt.run_id: attempt for attempt in found}


@dataclass(frozen=True)
class RunPage:
    """What the page of one run shows. `attempts` are the latest, `hidden` counts the earlier ones."""

    run: Run
    attempts: list[Attempt]
    hidden: int
    outputs: dict[int, AttemptOutput]
    previous: Run | None
    following: Run | None
    now: datetime

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None


def run_page(pk: int, *, outputs: bool) -> RunPage | None:
    """Six queries at most. `outputs`: those of the latest attempts are wanted too."""
    run = Run.objects.select_related("schedule__revision", "revision", "worker", "rerun_of").filter(pk=pk)
    found = run.first()
    if found is None:
        return None
    newest = list(Attempt.objects.filter(run=pk).order_by("-number")[:SHOWN_ATTEMPTS])
    shown = [attempt.pk for attempt in newest[:SHOWN_OUTPUTS]] if outputs else []
    return RunPage(
        run=found,
        attempts=newest[::-1],
        hidden=newest[-1].number - 1 if newest else 0,
        outputs=AttemptOutput.objects.in_bulk(shown),
        previous=_neighbour(found, "-id", id__lt=pk),
        following=_neighbour(found, "id", id__gt=pk),
        now=database_now(),
    )


def _neighbour(run: Run, order: str, **where: Any) -> Run | None:
    if run.schedule_id is None:
        return None
    return Run.objects.filter(schedule=run.schedule_id, **where).order_by(order).only(*_LIST_COLUMNS).first()


@dataclass(frozen=True)
class Failing:
    """A schedule's newest failure, and how many of its runs failed among those that were counted."""

    run: Run
    times: int


@dataclass(frozen=True)
class Overview:
    """What the first page says of the whole installation."""

    now: datetime
    running: list[Run]
    waiting: list[Run]
    failed: list[Failing]
    counts: dict[str, int]
    upcoming: list[Schedule]
    late: int
    queueing: int
    unusable: int
    beats: list[Beat]
    workers: list[Worker]


def overview(*, rows: int = 8) -> Overview:
    """Twelve queries."""
    now = database_now()
    # Due for more than a minute, and no worker had a hand free. That they are active names the index.
    waiting = Run.objects.filter(StateAmong(ACTIVE), StateAmong(WAITING))
    queueing = waiting.filter(available_at__lt=now - timedelta(minutes=1))
    retrying = Run.objects.filter(StateAmong(WAITING), attempt__gt=0)
    running = Run.objects.filter(state=State.RUNNING)
    failed = _failed_since(now - timedelta(days=1))
    live = Schedule.objects.live().filter(enabled=True)
    schedules = live.aggregate(
        late=Count("pk", filter=Q(next_run_at__lt=now - timedelta(minutes=1))),
        unusable=Count("pk", filter=~Q(timing_error="")),
    )
    return Overview(
        now=now,
        # Not by the primary key itself: where nothing runs, all of history would be looked at in vain.
        running=list(running.order_by((F("id") + 0).desc())[:rows]),
        waiting=list(retrying.order_by("available_at")[:rows]),
        failed=_by_schedule(failed, rows),
        counts={
            "running": _capped(running.order_by("worker")),
            "waiting": _capped(retrying.order_by("available_at")),
            "failed": len(failed),
        },
        upcoming=list(live.filter(next_run_at__isnull=False).order_by("next_run_at")[:rows]),
        late=schedules["late"],
        queueing=_capped(queueing.order_by("schedule")),
        unusable=schedules["unusable"],
        beats=list(Beat.objects.unexplained().filter(seen_at__gte=now - PROCESSES_SHOWN)[:20]),
        workers=list(Worker.objects.unexplained().filter(seen_at__gte=now - PROCESSES_SHOWN)[:50]),
    )


def _failed_since(start: datetime) -> list[tuple[int, int | None]]:
    """Keys of runs and of their schedules, newest first; as many as are counted."""
    failed = Run.objects.filter(StateAmong(FAILURES), finished_at__gte=start).order_by("-finished_at")
    return list(failed.values_list("pk", "schedule_id")[:MOST_COUNTED])


def _by_schedule(failed: Iterable[tuple[int, int | None]], rows: int) -> list[Failing]:
    """One that fails every minute must not hide the others. A run whose schedule is gone stands alone."""
    of_each: dict[tuple[int | None, int | None], list[int]] = {}
    for pk, schedule in failed:
        of_each.setdefault((schedule, None if schedule else pk), []).append(pk)
    shown = list(of_each.values())[:rows]
    newest = Run.objects.in_bulk([pks[0] for pks in shown])
    return [Failing(newest[pks[0]], len(pks)) for pks in shown if pks[0] in newest]


def _capped(runs: QuerySet[Run]) -> int:
    """Ordered as the index that finds them: it is left once enough have been counted."""
    return runs[:MOST_COUNTED].count()


def active_runs(worker_ids: Iterable[int]) -> dict[int, int]:
    """How many runs each worker executes. One query."""
    # Of all workers: with their keys in the condition SQLite takes the index of a worker's whole history.
    counted = Run.objects.filter(state=State.RUNNING).values_list("worker").annotate(Count("pk")).order_by()
    wanted = set(worker_ids)
    return {pk: count for pk, count in counted if pk in wanted}


def policies() -> QuerySet[RetryPolicy]:
    """With `used_by`: how many live schedules each has."""
    return RetryPolicy.objects.annotate(
        used_by=Count("schedules", filter=Q(schedules__deleted_at__isnull=True))
    )


def active_count(schedule_ids: Sequence[int]) -> int:
    """Runs of these schedules that are not over."""
    return Run.objects.filter(schedule__in=schedule_ids, state__in=ACTIVE).count()


def schedule_name(pk: str) -> str:
    """The name of the schedule that an address asks for, "" where it asks for none. One query or none."""
    if not is_key(pk):
        return ""
    return Schedule.objects.filter(pk=pk).values_list("name", flat=True).first() or ""


def is_key(text: str) -> bool:
    """Could be a primary key: digits, and few enough of them for the column."""
    return text.isascii() and text.isdecimal() and len(text) < 19
