"""T1: the runs of a batch inserted and their schedules moved on, in a fixed number of statements.

Called by `querysets`, which says what the values mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.apps import apps
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from schedules.sql import bulk

Row = Mapping[str, Any]

MOST_SHAPES = 400
"""Distinct shapes of runs that one statement takes; a batch after a long downtime may have more."""


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


def _array(values: Sequence[Any]) -> str:
    """PostgreSQL's text of an array of numbers or instants: the driver would quote each by itself."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _model(name: str) -> type[models.Model]:
    return apps.get_model("schedules", name)


def _field(model: str, name: str) -> models.Field[Any, Any]:
    """By its name or its column."""
    return next(field for field in _model(model)._meta.concrete_fields if name in (field.name, field.attname))
