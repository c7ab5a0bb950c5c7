"""Do runs begin that were sent? Those that wait in each queue, and what its workers do meanwhile.

Called by `flow`. Judged by the rows alone; what lies in the queue itself is the broker's to say. Runs that
were not sent are for `runs`, queues of live schedules that nobody serves for `queues`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from shlex import quote
from typing import NamedTuple

from django.db.models import Count

from schedules.messages import routing
from schedules.models import Attempt, Revision, Run
from schedules.production import queues
from schedules.production.fleet import Snapshot
from schedules.production.queues import START_WORKER
from schedules.querysets import RunQuerySet
from schedules.rules.definition import Definition, Delivery
from schedules.rules.production import Finding, error, ok, some, span, warning
from schedules.rules.states import State

LATE = timedelta(minutes=5)
FAR_TOO_LATE = timedelta(hours=1)
READ_AT_MOST = 100_000
"""Runs, the oldest. As many as may be outstanding in one queue (`conf.doorbells`)."""
ROUTED_AT_MOST = 1000
"""Revisions of tasks that Celery's own routing sends on their way."""
RECENT_ATTEMPTS = 10_000
QUEUES_NAMED = 20


class Waits(NamedTuple):
    """The columns that are read of a run that waits."""

    queue: str
    revision_id: int | None
    schedule_id: int | None
    available_at: datetime


@dataclass(frozen=True)
class Backlog:
    """Runs that have waited for too long for a worker of any of `queues`."""

    queues: tuple[str, ...]
    runs: Sequence[Waits]

    @property
    def since(self) -> datetime:
        return min(row.available_at for row in self.runs)

    @property
    def schedule_ids(self) -> set[int]:
        return {row.schedule_id for row in self.runs if row.schedule_id is not None}


def look(snapshot: Snapshot) -> Iterator[Finding]:
    backlogs = _backlogs(snapshot.now)
    if not backlogs:
        yield ok(
            "runs.waiting",
            f"No run that was sent waits for a worker for more than {span(LATE.total_seconds())}.",
        )
        return
    work = _work(snapshot)
    for backlog in backlogs[:QUEUES_NAMED]:
        serving = [row for row in snapshot.workers if queues.served_by(row).intersection(backlog.queues)]
        if serving:
            yield _of_served(backlog, snapshot.now, {row.name: work[row.name] for row in serving})
        elif snapshot.workers and not queues.are_wanted(backlog.queues, by=backlog.schedule_ids):
            yield _of_forgotten(backlog, snapshot.now)


def _backlogs(now: datetime) -> list[Backlog]:
    """The oldest first. Runs that wait to be sent count where others were: else none of them can begin.

    Not by `queued_at`, which every message that is sent again moves on. Two queries, each along the partial
    index of its state, so that they cost what is active, however long the history.
    """
    late = Run.objects.filter(available_at__lt=now - LATE).exclude(schedule__delivery=Delivery.MESSAGE.value)
    sent = late.filter(state=State.QUEUED.value).order_by("redispatch_at")
    unsent = late.filter(state=State.PENDING.value).order_by("available_at")
    by_queues = _by_queues(_read(sent))
    for wanted, runs in _by_queues(_read(unsent) if by_queues else []).items():
        if wanted in by_queues:
            by_queues[wanted] += runs
    return sorted(
        (Backlog(wanted, runs) for wanted, runs in by_queues.items()), key=lambda backlog: backlog.since
    )


def _read(rows: RunQuerySet) -> list[Waits]:
    return [Waits(*row) for row in rows.values_list(*Waits._fields)[:READ_AT_MOST]]


def _by_queues(rows: Sequence[Waits]) -> dict[tuple[str, ...], list[Waits]]:
    """Without runs of which nobody knows where they go: their schedules are named as such."""
    routed = _routed(row.revision_id for row in rows if not row.queue and row.revision_id)
    found: dict[tuple[str, ...], list[Waits]] = {}
    for row in rows:
        wanted = (row.queue,) if row.queue else routed.get(row.revision_id or 0)
        if wanted:
            found.setdefault(wanted, []).append(row)
    return found


def _routed(revision_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Where Celery's routing sends tasks that name no queue."""
    wanted = list(dict.fromkeys(revision_ids))[:ROUTED_AT_MOST]
    found = {}
    for pk, stored in Revision.objects.filter(pk__in=wanted).values_list("pk", "definition"):
        try:
            found[pk] = routing.queues_of(Definition.from_dict(stored))
        except (LookupError, TypeError, ValueError):
            continue
    return found


class Work(NamedTuple):
    """What the processes of a worker do: how many runs execute, and of which queues it began some lately."""

    running: int
    began: frozenset[str]

    def is_idle(self, backlog: Backlog) -> bool:
        """Runs nothing. Short runs leave a worker so between two of them, but then it began the first."""
        return not self.running and self.began.isdisjoint(row.queue for row in backlog.runs)


def _work(snapshot: Snapshot) -> dict[str, Work]:
    """By name: the children of a worker share one."""
    names = {row.pk: row.name for row in snapshot.workers}
    # All that run: where workers are asked for by id, SQLite reads every run that they ever had.
    executing = Run.objects.filter(state=State.RUNNING.value).order_by()
    running: Counter[str] = Counter()
    for pk, count in executing.values_list("worker").annotate(Count("pk")):
        running[names.get(pk, "")] += count
    began: dict[str, set[str]] = {name: set() for name in names.values()}
    latest = Attempt.objects.order_by("-pk").values_list("worker", "run__queue", "started_at")
    for pk, queue, at in latest[:RECENT_ATTEMPTS]:
        if pk in names and at > snapshot.now - LATE:
            began[names[pk]].add(queue)
    return {name: Work(running[name], frozenset(of)) for name, of in began.items()}


def _of_served(backlog: Backlog, now: datetime, work: Mapping[str, Work]) -> Finding:
    idle = sorted(name for name, does in work.items() if does.is_idle(backlog))
    make = _level(backlog, now)
    if idle:
        return make(
            "runs.waiting",
            f"{_said(backlog, now)}; alive, serving it and beginning none of them: {some(idle)}.",
            why="It does not hear the broker; or the messages are lost, and those of another application in "
            "the same queue hide that: 50 a minute are sent again while it is as long as it should be.",
            do="Restart it, and look at its log. If they wait on, look for messages of others "
            "in that queue: Beatkeeper needs one, and better a vhost or database number, of its own.",
            run="systemctl restart 'beatkeeper-worker@*'",
        )
    busy = sorted(f"{name} ({does.running:,} running)" for name, does in work.items())
    return make(
        "runs.waiting",
        f"{_said(backlog, now)}; its workers are all busy: {some(busy)}.",
        why="More becomes due than they get done, or runs that hang hold their places.",
        do="End what hangs, and give it a timeout; else more workers, or more at once (-c). Where one runs "
        "fewer than its -c, it does not hear the broker: restart it.",
        run="celery -A scheduler inspect active",
    )


def _of_forgotten(backlog: Backlog, now: datetime) -> Finding:
    make = _level(backlog, now)
    return make(
        "runs.waiting",
        f"{_said(backlog, now)}; no live worker serves it, and none of their schedules goes there any more.",
        why="Their schedules were disabled, or given another queue, after these runs had become due.",
        do="Let a worker serve it until they are done, or cancel them (admin, Runs).",
        run=START_WORKER.format(queue=quote(backlog.queues[0])),
    )


def _level(backlog: Backlog, now: datetime) -> Callable[..., Finding]:
    return error if now - backlog.since > FAR_TOO_LATE else warning


def _said(backlog: Backlog, now: datetime) -> str:
    """Such as: 50 runs wait in the queue "reports", the oldest for 6 h."""
    many = len(backlog.runs)
    runs = "1 run waits" if many == 1 else f"{many:,}{' or more' if many >= READ_AT_MOST else ''} runs wait"
    where = " or ".join(f'"{name}"' for name in backlog.queues)
    return f"{runs} in the queue {where}, the oldest for {span((now - backlog.since).total_seconds())}"
