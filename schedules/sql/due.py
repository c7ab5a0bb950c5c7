"""What is due: rows claimed by a beat, the instant of the next one, and what their revisions say.

Rows that the ORM makes objects of would make a full minute of 50,000 schedules take a minute to dispatch.
Called by `querysets`, which says what the values mean, and by `terms`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connections

from schedules.sql.instants import adapted, ask, read


class DueRow(NamedTuple):
    """What dispatch needs of a schedule that it has locked. `digest` is "" where there is no revision."""

    pk: int
    next_run_at: datetime
    revision_id: int | None
    digest: str


# Ordered by the instant alone: a second column would make PostgreSQL sort all that is due for each batch.
CLAIM = """
SELECT schedule.periodictask_ptr_id, schedule.next_run_at, schedule.revision_id, coalesce(revision.digest, '')
FROM schedules_schedule AS schedule
JOIN django_celery_beat_periodictask AS parent ON parent.id = schedule.periodictask_ptr_id
LEFT JOIN schedules_revision AS revision ON revision.id = schedule.revision_id
WHERE schedule.next_run_at <= %(now)s AND schedule.deleted_at IS NULL AND parent.enabled
ORDER BY schedule.next_run_at LIMIT %(limit)s{lock}"""

# The time is read with it: an idle beat asks once a second, and a round trip each is most of what it costs.
SOONEST = """
SELECT {clock}, (
    SELECT schedule.next_run_at FROM schedules_schedule AS schedule
    JOIN django_celery_beat_periodictask AS parent ON parent.id = schedule.periodictask_ptr_id
    WHERE schedule.next_run_at IS NOT NULL AND schedule.deleted_at IS NULL AND parent.enabled
    ORDER BY schedule.next_run_at LIMIT 1)"""


def claim(*, using: str, now: datetime, limit: int) -> list[DueRow]:
    """At most `limit` due rows that nobody holds, oldest first, locked until the transaction ends.

    The parent is locked too. SQLite has no row locks; its transaction is the only writer.
    """
    connection = connections[using]
    lock = " FOR NO KEY UPDATE OF schedule, parent SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(lock=lock), {"now": adapted(now, connection), "limit": limit})
        rows = cursor.fetchall()
    # A revision without a digest: an edit was committed while we looked. The next look sees all of it.
    return [
        DueRow(pk, read(at), revision, digest)
        for pk, at, revision, digest in rows
        if digest or revision is None
    ]


def soonest(*, using: str) -> tuple[datetime, datetime | None]:
    """The time, and when the next schedule is due, by the database's clock."""
    now, at = ask(SOONEST, using)
    return read(now), at and read(at)


# A definition without what only the worker reads: equal texts are then one entry for many schedules.
DEFINITIONS = {
    "postgresql": "SELECT id, digest, definition ->> 'name', (definition - %s::text[])::text"
    " FROM schedules_revision WHERE id = ANY(%s)",
    "sqlite": "SELECT id, digest, json_extract(definition, '$.name'), json_remove(definition, {paths})"
    " FROM schedules_revision WHERE id IN (SELECT value FROM json_each(%s))",
}


def definitions(pks: Sequence[int], *, using: str, without: Sequence[str]) -> list[tuple[str, str, str]]:
    """Digest, name and definition as JSON text, less the keys in `without`, of the revisions `pks`."""
    connection = connections[using]
    statement = DEFINITIONS[connection.vendor].format(paths=", ".join(f"'$.{key}'" for key in without))
    given: list[Any] = (
        [list(without), list(pks)] if connection.vendor == "postgresql" else [json.dumps(list(pks))]
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return [(digest, name, text) for _, digest, name, text in cursor.fetchall()]
