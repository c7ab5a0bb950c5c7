"""The statements of a burst: due rows claimed, runs opened (T1), runs taken for publishing (T2). Set-based.

A batch costs a fixed number of statements and round trips, whatever it holds: with one row each, or with
rows that the ORM makes objects of, a full minute of 50,000 schedules would take a minute to dispatch.
Called by `querysets`, which says what the values mean, and by `terms`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from schedules.sql import bulk

Row = Mapping[str, Any]

MOST_SHAPES = 400
"""Distinct shapes of runs that one statement takes; a batch after a long downtime may have more."""


class DueRow(NamedTuple):
    """What dispatch needs of a schedule that it has locked. `digest` is "" where there is no revision."""

    pk: int
    next_run_at: datetime
    revision_id: int | None
    digest: str


class Opening(NamedTuple):
    """A run to insert: the columns of its own, and the number of the shape that has all others."""

    schedule_id: int
    revision_id: int | None
    name: str
    shape: int


class Move(NamedTuple):
    """Where a schedule goes on, and how many runs it has started."""

    schedule_id: int
    next_run_at: datetime | None
    starts: int
    timing_error: str = ""


class Taken(NamedTuple):
    """A run that T2 has marked as queued."""

    run_id: int
    dispatches: int
    name: str
    queue: str
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

PUBLISHABLE = """
SELECT {clock}, EXISTS (SELECT 1 FROM schedules_run WHERE state = 'pending' AND available_at <= {clock})
    OR EXISTS (SELECT 1 FROM schedules_run WHERE state = 'queued' AND redispatch_at <= {clock})"""

CLOCK = {
    "postgresql": "statement_timestamp()",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
}

# A conflict target that names the partial index: any other violation is an error.
UNLESS = "(schedule_id, scheduled_for) WHERE trigger IN ('catch_up', 'schedule')"

SETTLE = """
WITH shapes (shape, {shared}) AS (VALUES {values}), given AS MATERIALIZED (
    SELECT * FROM unnest(
        %(schedules)s::bigint[], %(revisions)s::bigint[], %(names)s::text[], %(shapes)s::int[]
    ) AS given (schedule_id, revision_id, name, shape)
), moves AS MATERIALIZED (
    SELECT * FROM unnest(
        %(moving)s::bigint[], %(next)s::timestamptz[], %(starts)s::int[], %(errors)s::text[]
    ) AS moves (schedule_id, next_run_at, starts, timing_error)
), opened AS (
    INSERT INTO schedules_run (schedule_id, revision_id, name, concurrency_key, {shared})
    SELECT schedule_id, revision_id, name, 'schedule:' || schedule_id, {shared}
    FROM given JOIN shapes USING (shape)
    ON CONFLICT {unless} DO NOTHING RETURNING id, schedule_id, state
), moved AS (
    UPDATE schedules_schedule AS schedule
    SET next_run_at = moves.next_run_at, timing_error = moves.timing_error
    FROM moves WHERE schedule.periodictask_ptr_id = moves.schedule_id
), counted AS (
    UPDATE django_celery_beat_periodictask AS parent
    SET last_run_at = %(now)s, total_run_count = total_run_count + moves.starts
    FROM moves WHERE parent.id = moves.schedule_id AND moves.starts > 0
)
SELECT id, schedule_id, state FROM opened"""

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


def claim(*, using: str, now: datetime, limit: int) -> list[DueRow]:
    """At most `limit` due rows that nobody holds, oldest first, locked until the transaction ends.

    The parent is locked too. SQLite has no row locks; its transaction is the only writer.
    """
    connection = connections[using]
    lock = " FOR NO KEY UPDATE OF schedule, parent SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(CLAIM.format(lock=lock), {"now": _instant(now, connection), "limit": limit})
        rows = cursor.fetchall()
    # A revision without a digest: an edit was committed while we looked. The next look sees all of it.
    return [
        DueRow(pk, _read_instant(at), revision, digest)
        for pk, at, revision, digest in rows
        if digest or revision is None
    ]


def soonest(*, using: str) -> tuple[datetime, datetime | None]:
    """The time, and when the next schedule is due, by the database's clock."""
    now, at = _ask(SOONEST, using)
    return _read_instant(now), at and _read_instant(at)


def publishable(*, using: str) -> tuple[datetime, bool]:
    """The time, and whether any run waits for a message, by the database's clock."""
    now, waits = _ask(PUBLISHABLE, using)
    return _read_instant(now), bool(waits)


def _ask(question: str, using: str) -> tuple[Any, ...]:
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(question.format(clock=CLOCK[connection.vendor]))
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def settle(
    *, using: str, shapes: Sequence[Row], openings: Sequence[Opening], moves: Sequence[Move], now: datetime
) -> list[dict[str, Any]]:
    """T1: inserts runs, leaving out instants that have theirs, and moves their schedules on.

    Returns pk, schedule_id and state of the runs. The caller holds the locks.
    """
    connection = connections[using]
    if connection.vendor == "postgresql" and 0 < len(shapes) <= MOST_SHAPES:
        return _settle_at_once(connection, shapes, openings, moves, now)
    return _settle_in_steps(connection, shapes, openings, moves, now)


def _settle_at_once(
    connection: BaseDatabaseWrapper,
    shapes: Sequence[Row],
    openings: Sequence[Opening],
    moves: Sequence[Move],
    now: datetime,
) -> list[dict[str, Any]]:
    fields = [_field("Run", name) for name in shapes[0]]
    given = {
        f"shape{number}_{column}": field.get_db_prep_save(value, connection)
        for number, shape in enumerate(shapes)
        for column, (field, value) in enumerate(zip(fields, shape.values(), strict=True))
    }
    schedules, revisions, names, numbers = zip(*openings, strict=True)
    moving, instants, starts, errors = zip(*moves, strict=True)
    given |= {"schedules": _array(schedules), "revisions": _array(revisions), "shapes": _array(numbers)}
    given |= {"moving": _array(moving), "next": _array(instants), "starts": _array(starts)}
    given |= {"names": list(names), "errors": list(errors), "now": now}
    with connection.cursor() as cursor:
        cursor.execute(_settle_statement(tuple(shapes[0]), len(shapes), connection), given)
        return [{"pk": pk, "schedule_id": of, "state": state} for pk, of, state in cursor.fetchall()]


def _settle_statement(names: Sequence[str], shapes: int, connection: BaseDatabaseWrapper) -> str:
    fields = [_field("Run", name) for name in names]
    casts = [f"::{field.db_type(connection)}" for field in fields]  # a NULL would otherwise be text
    rows = (
        ", ".join([str(number), *(f"%(shape{number}_{at})s{cast}" for at, cast in enumerate(casts))])
        for number in range(shapes)
    )
    return SETTLE.format(
        shared=", ".join(str(field.column) for field in fields),
        values=", ".join(f"({row})" for row in rows),
        unless=UNLESS,
    )


def _settle_in_steps(
    connection: BaseDatabaseWrapper,
    shapes: Sequence[Row],
    openings: Sequence[Opening],
    moves: Sequence[Move],
    now: datetime,
) -> list[dict[str, Any]]:
    """For SQLite, and for what has too many shapes: a long downtime of many schedules."""
    alias = connection.alias
    rows = [
        {
            "schedule_id": opening.schedule_id,
            "revision_id": opening.revision_id,
            "name": opening.name,
            "concurrency_key": f"schedule:{opening.schedule_id}",
            **shapes[opening.shape],
        }
        for opening in openings
    ]
    opened = bulk.insert(_model("Run"), rows, using=alias, unless=UNLESS, returning=("schedule_id", "state"))
    onward = [
        {"pk": move.schedule_id, "next_run_at": move.next_run_at, "timing_error": move.timing_error}
        for move in moves
    ]
    bulk.update(_model("Schedule"), onward, using=alias)
    _count_in_steps(connection, moves, now)
    return opened


def _count_in_steps(connection: BaseDatabaseWrapper, moves: Sequence[Move], now: datetime) -> None:
    by_starts: dict[int, list[int]] = {}
    for move in moves:
        if move.starts:
            by_starts.setdefault(move.starts, []).append(move.schedule_id)
    parent = apps.get_model("django_celery_beat", "PeriodicTask")
    for starts, pks in by_starts.items():
        parent.objects.using(connection.alias).filter(pk__in=pks).update(
            last_run_at=now, total_run_count=models.F("total_run_count") + starts
        )


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
        name: _instant(value, connection) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return sorted(Taken(*row) for row in cursor.fetchall())


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


def _array(values: Sequence[Any]) -> str:
    """PostgreSQL's text of an array of numbers or instants: the driver would quote each by itself."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _instant(moment: datetime, connection: BaseDatabaseWrapper) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def _read_instant(value: datetime | str) -> datetime:
    """SQLite keeps instants as text, in UTC and without saying so."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _model(name: str) -> type[models.Model]:
    return apps.get_model("schedules", name)


def _field(model: str, name: str) -> models.Field[Any, Any]:
    """By its name or its column."""
    return next(field for field in _model(model)._meta.concrete_fields if name in (field.name, field.attname))
