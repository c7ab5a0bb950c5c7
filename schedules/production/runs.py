"""Do runs move on? Waiting messages, results that could not be recorded, old history, rows set aside.

Called by `production`. A fixed number of queries, each bounded.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote

from django.conf import settings
from django.db.models import Count, Min

from schedules import conf
from schedules.models import Run, Schedule
from schedules.rules.production import MANAGE, Finding, error, ok, some, span, warning
from schedules.rules.states import State
from schedules.worker import spool

RUNG_OFTEN = 3
LATE = timedelta(minutes=5)
RETENTION_GRACE = timedelta(days=2)
COUNTED_AT_MOST = 100_000
FREE_BYTES = 500 << 20


def look(now: datetime) -> Iterator[Finding]:
    yield from _doorbells()
    yield from _waiting(now)
    yield from _spool()
    yield from _set_aside()
    yield from _retention(now)
    yield from _disk()


def _doorbells() -> Iterator[Finding]:
    """Messages that nobody answers: no worker is free, or the broker loses them."""
    rung = Run.objects.filter(state=State.QUEUED, dispatches__gte=RUNG_OFTEN)
    rows = rung.values("queue").annotate(count=Count("pk"), since=Min("queued_at")).order_by("-count")
    found = [f'{row["count"]:,} in "{row["queue"] or "by routing"}"' for row in rows[:20]]
    if found:
        yield warning(
            "runs.doorbells",
            f"Runs whose message was sent {RUNG_OFTEN} times or more, and no worker began: {some(found)}.",
            why="All workers of the queue are busy, or the broker loses messages.",
            do="celery -A scheduler inspect active: where workers are idle, look at the broker; or add some.",
            run="celery -A scheduler inspect active",
        )
    else:
        outstanding = Run.objects.filter(state=State.QUEUED).count()
        yield ok(
            "runs.doorbells", f"Messages that wait for a worker: {outstanding:,}, none of them sent often."
        )


def _waiting(now: datetime) -> Iterator[Finding]:
    late = Run.objects.filter(state=State.PENDING, available_at__lt=now - LATE)
    names = list(late.order_by("available_at").values_list("name", flat=True)[:100])
    if names:
        yield error(
            "runs.unsent",
            f"Runs have waited for more than {span(LATE.total_seconds())} to be sent: {some(names)}.",
            why="Beat cannot reach the broker, their queue is full, or the broker refuses their messages.",
            do="Look at beat's log (publish_failed), and at BEATKEEPER_DOORBELLS where a queue is long.",
            run="journalctl -u beatkeeper-beat -g publish_failed",
        )


def _spool() -> Iterator[Finding]:
    """Of this host only."""
    name = conf.current().spool_directory
    if not name:
        return
    files = [path for path in Path(name).glob("*") if path.is_file()] if Path(name).is_dir() else []
    bad = [path.name for path in files if path.suffix == spool.SET_ASIDE]
    waiting = [path for path in files if path.suffix == spool.SUFFIX]
    if bad:
        yield warning(
            "runs.spool_bad",
            f"Results that could not be read lie in {name}: {some(bad)}.",
            why="Their runs ended without a record, and count as lost.",
            do="Read them, decide about their runs, and delete them.",
            run=f"ls -l {quote(name)}/*{spool.SET_ASIDE}",
        )
    old = [path for path in waiting if time.time() - _changed_at(path) > LATE.total_seconds()]
    if old:
        yield warning(
            "runs.spool",
            f"{len(old):,} results wait in {name} to be recorded.",
            why="No worker with that directory has reached the database since.",
            do="Start a worker on this host with the same BEATKEEPER_STATE (or BEATKEEPER_SPOOL).",
            run=f"BEATKEEPER_SPOOL={quote(name)} celery -A scheduler worker -Q commands -P threads",
        )
    elif not bad:
        yield ok("runs.spool", f"No result waits on this host to be recorded ({name}).")


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # delivered meanwhile
        return time.time()


def _set_aside() -> Iterator[Finding]:
    rows = Schedule.objects.live().exclude(timing_error="").order_by("name")
    names = list(rows.values_list("name", flat=True)[:100])
    if names:
        yield warning(
            "schedules.set_aside",
            f"Schedules that cannot be used, and never run: {some(names)}.",
            why="Their timing or definition is not valid; each says why on its page.",
            do="Correct them, or delete them: manage.py explain NAME",
            run=f"{MANAGE} explain {quote(names[0])}",
        )


def _retention(now: datetime) -> Iterator[Finding]:
    """Rows that pruning should have taken, beyond those that every schedule may keep."""
    values = conf.current()
    days = max([values.retention_days, getattr(values, "retention_failed_days", None) or 0, *_own_days()])
    oldest = Run.objects.filter(finished_at__isnull=False).order_by("finished_at")
    first = oldest.values_list("finished_at", flat=True).first()
    if first is None:
        yield ok("runs.retention", "There is no history yet.")
        return
    kept = Schedule.objects.count() * max(values.retention_runs, *_own_runs(), 0)
    due = oldest.filter(finished_at__lt=now - timedelta(days=days) - RETENTION_GRACE)
    too_many = min(kept, COUNTED_AT_MOST)
    if due[: too_many + 1].count() > too_many == kept:
        yield warning(
            "runs.retention",
            f"More than {kept:,} runs are older than the {days:g} days for which they are kept.",
            why="Pruning does not keep up, or no beat is there to do it: pages and backups grow.",
            do="manage.py prune_runs, and look at beat's log.",
            run=f"{MANAGE} prune_runs",
        )
    else:
        age = span((now - first).total_seconds())
        yield ok("runs.retention", f"The oldest run is from {age} ago; runs are kept for {days:g} days.")


def _own_days() -> list[float]:
    rows = Schedule.objects.filter(keep_days__isnull=False) | Schedule.objects.filter(
        keep_failed_days__isnull=False
    )
    return [
        max(filter(None, pair), default=0)
        for pair in rows.values_list("keep_days", "keep_failed_days").distinct()
    ]


def _own_runs() -> list[int]:
    return [
        0,
        *Schedule.objects.filter(keep_runs__isnull=False).values_list("keep_runs", flat=True).distinct(),
    ]


def _disk() -> Iterator[Finding]:
    state = getattr(settings, "STATE_DIR", None)
    if state is None or not Path(state).is_dir():
        return
    free = shutil.disk_usage(state).free
    if free < FREE_BYTES:
        yield error(
            "disk.space",
            f"{free >> 20:,} MiB are free in {state}.",
            why="There are the embedded database and queue, and results that wait to be recorded.",
            do="Free space, or move the directory (BEATKEEPER_STATE).",
            run=f"du -xah {quote(str(state))} | sort -h | tail",
        )
