"""T2: runs that wait for a message, marked as queued in one statement, each by one beat alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections

from schedules.sql.instants import adapted, ask, read


class Taken(NamedTuple):
    """A run that T2 has marked as queued."""

    run_id: int
    dispatches: int
    name: str
    queue: str
    revision_id: int | None
    digest: str


PUBLISHABLE = """
SELECT {clock}, EXISTS (SELECT 1 FROM schedules_run WHERE state = 'pending' AND available_at <= {clock})
    OR EXISTS (SELECT 1 FROM schedules_run WHERE state = 'queued' AND redispatch_at <= {clock})"""

# T2. What is due is chosen first: within IN, a nested loop might choose again, and take more than `limit`.
TAKE = """
WITH due AS MATERIALIZED (
    SELECT id FROM schedules_run WHERE {condition} AND NOT cancel_requested
    ORDER BY {instant}, id LIMIT %(limit)s{lock})
UPDATE schedules_run SET state = 'queued', dispatches = dispatches + 1, queued_at = %(now)s,
    redispatch_at = CASE dispatches {steps} ELSE %(last)s END
WHERE id IN (SELECT id FROM due)
RETURNING id, dispatches, name, queue, revision_id, coalesce(
    (SELECT digest FROM schedules_revision AS revision WHERE revision.id = schedules_run.revision_id), '')"""


def publishable(*, using: str) -> tuple[datetime, bool]:
    """The time, and whether any run waits for a message, by the database's clock."""
    now, waits = ask(PUBLISHABLE, using)
    return read(now), bool(waits)


def take(
    *,
    using: str,
    condition: str,
    instant: str,
    now: datetime,
    limit: int,
    delays: Sequence[int],
    only: Sequence[str] = (),
    but: Sequence[str] = (),
) -> list[Taken]:
    """T2: marks at most `limit` runs as queued at `now`, the oldest by `instant`; returns them.

    `delays` are the seconds to `redispatch_at` by number of dispatches; `only` and `but` name queues.
    """
    connection = connections[using]
    named = {
        f"{word}{number}": q for word, qs in (("only", only), ("but", but)) for number, q in enumerate(qs)
    }
    condition += "".join(
        f" AND queue {'=' if name.startswith('only') else '<>'} %({name})s" for name in named
    )
    instants = {"last": now + timedelta(seconds=delays[-1])}
    instants |= {f"step{number}": now + timedelta(seconds=s) for number, s in enumerate(delays)}
    statement = TAKE.format(
        condition=condition,
        instant=instant,
        lock=" FOR NO KEY UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else "",
        steps=" ".join(f"WHEN {number} THEN %(step{number})s" for number in range(len(delays))),
    )
    values: dict[str, Any] = {"now": now, **named, **instants, "limit": limit}
    parameters = {
        name: adapted(value, connection) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return sorted(Taken(*row) for row in cursor.fetchall())
