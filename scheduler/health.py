"""`/healthz`: are beat and the workers alive? For monitors and for `manage.py up`, which waits for it.

Ages come from the tables, by the database's clock. A process that vanished without a word counts as
stale for an hour and as gone afterwards; one that said that it stops is not counted at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse

from schedules import conf
from schedules.models import Beat, Worker
from schedules.querysets import database_now

REMEMBERED = timedelta(hours=1)


def healthz(request: HttpRequest) -> JsonResponse:
    """200 where at least one beat and one worker are there and none is stale, else 503."""
    try:
        found = report()
    except DatabaseError:
        found = {"status": "database does not answer", "beats": [], "workers": []}
    return JsonResponse(found, status=200 if found["status"] == "ok" else 503)


def report() -> dict[str, Any]:
    """`status`, and for each beat and worker its age in seconds. Raises DatabaseError."""
    now = database_now()
    since = now - REMEMBERED
    beats = [_beat(beat, now) for beat in _latest(Beat.objects.unexplained().filter(seen_at__gte=since))]
    there = _latest(Worker.objects.unexplained().filter(seen_at__gte=since))
    workers = [_worker(row, now) for row in there]
    return {"status": _status(beats, workers), "beats": beats, "workers": workers}


def _latest(rows: Iterable[Any]) -> list[Any]:
    """The row seen last of each name: a process that was restarted has left its old row behind."""
    by_name = {row.name: row for row in sorted(rows, key=lambda row: row.seen_at)}
    return sorted(by_name.values(), key=lambda row: row.name)


def _beat(row: Beat, now: datetime) -> dict[str, Any]:
    parts = {name: _seconds(now - datetime.fromisoformat(at)) for name, at in row.parts.items()}
    return {**_process(row, now), "parts": parts}


def _worker(row: Worker, now: datetime) -> dict[str, Any]:
    return {**_process(row, now), "parent_pid": row.parent_pid, "queues": row.queues}


def _process(row: Beat | Worker, now: datetime) -> dict[str, Any]:
    return {"name": row.name, "pid": row.pid, "age_seconds": _seconds(now - row.seen_at)}


def _seconds(age: timedelta) -> float:
    return round(max(0.0, age.total_seconds()), 1)


def _status(beats: list[dict[str, Any]], workers: list[dict[str, Any]]) -> str:
    if not beats:
        return "no beat"
    if not workers:
        return "no worker"
    stale = [row["name"] for row in (*beats, *workers) if _oldest(row) > conf.current().lease_seconds]
    return f"stale: {', '.join(stale)}" if stale else "ok"


def _oldest(row: Mapping[str, Any]) -> float:
    ages: list[float] = [row["age_seconds"], *row.get("parts", {}).values()]
    return max(ages)
