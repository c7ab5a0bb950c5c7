"""The writes of every attempt: begun (T3), ended (T5, T6), in the fewest round trips.

Through the ORM they were most of what a run cost (docs/performance.md). PostgreSQL takes begin and end
as one statement each, its own transaction; SQLite cannot write within WITH, so there the same parts
follow one another in a transaction. `querysets.RunQuerySet`, the only caller, says what the values are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from schedules.sql import prepared
from schedules.sql.instants import CLOCK

Row = Mapping[str, Any]
"""Columns of one row by name; a value may be `Now()`."""

RUN, ATTEMPT, OUTPUT = "schedules_run", "schedules_attempt", "schedules_attemptoutput"

# `state || ''` is `state`, but keeps PostgreSQL from the small index of runs in these states: statistics
# from a quiet hour make it look cheaper than the primary key, and in a burst it holds every run.

# The guard of T3, all of it: waiting, due, not cancelled, defined, and no later than its start deadline,
# which counts for the first attempt only, because a retry is late by design.
BEGIN = """
UPDATE schedules_run SET state = 'running', attempt = attempt + 1, token = %(token)s,
    worker_id = %(worker_id)s, redispatch_at = NULL, started_at = coalesce(started_at, {now})
WHERE id = %(run_id)s AND state || '' IN ('pending', 'queued') AND available_at <= {now}
    AND NOT cancel_requested AND (SELECT (schedules_run.attempt > 0 OR {in_time}) IS NOT FALSE
        FROM schedules_revision AS revision WHERE revision.id = schedules_run.revision_id)
RETURNING {returned}, (SELECT definition FROM schedules_revision AS revision WHERE revision.id = revision_id)
    AS definition"""

OPEN = "INSERT INTO schedules_attempt ({columns}) SELECT {values} FROM {started} RETURNING id, started_at"

# The guard of T5 and T6: the attempt with this token still executes the run.
END = """
UPDATE schedules_run SET {run}
WHERE id = %(run_id)s AND token = %(token)s AND state || '' = 'running'{unless}"""

CLOSE = "UPDATE schedules_attempt SET {attempt} WHERE id = %(attempt_id)s"

KEEP = "INSERT INTO schedules_attemptoutput ({columns}) SELECT {values}"


@dataclass(frozen=True)
class Begun:
    """The rows as they now are, and the definition as JSON text."""

    run: Any
    attempt: Any
    definition: str


@dataclass(frozen=True)
class Closing:
    """What becomes of an attempt that is over. `output` is None where it printed nothing."""

    attempt_id: int
    columns: Row
    output: Row | None


def begin(*, using: str, run_id: int, attempt: Row) -> Begun | None:
    """T3. None where the guard does not hold. Raises IntegrityError where a constraint refuses.

    `attempt` has the token, worker_id, worker_name and pid.
    """
    connection = connections[using]
    parameters = {"run_id": run_id} | _parameters(ATTEMPT, attempt, connection, prefix="")
    execute = _begin_at_once if connection.vendor == "postgresql" else _begin_in_steps
    row = execute(connection, parameters)
    if row is None:
        return None
    *columns, definition, attempt_id, started_at = row
    values = dict(zip(_columns(RUN), columns, strict=True))
    run = _stored(RUN, _python(RUN, values, connection), connection)
    opened = _python(ATTEMPT, {"started_at": started_at}, connection)
    opened |= {"id": attempt_id, "run_id": run_id, "number": run.attempt, "planned_at": run.available_at}
    return Begun(run, _stored(ATTEMPT, {**opened, **attempt}, connection), definition)


def _begin_at_once(connection: BaseDatabaseWrapper, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    update, insert = _begin_statements("postgresql")
    whole = f"WITH started AS ({update}), opened AS ({insert}) SELECT * FROM started, opened"
    return prepared.fetch_one(connection, whole, parameters)


def _begin_in_steps(connection: BaseDatabaseWrapper, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    update, insert = _begin_statements("sqlite")
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        started = cursor.execute(update, parameters).fetchone()
        if started is None:
            return None
        opened = cursor.execute(insert, parameters).fetchone()
        return (*started, *opened)


@lru_cache
def _begin_statements(vendor: str) -> tuple[str, str]:
    update = BEGIN.format(now=CLOCK[vendor], in_time=IN_TIME[vendor], returned=", ".join(_columns(RUN)))
    opened = {
        "run_id": "id",
        "number": "attempt",
        "planned_at": "available_at",
        "started_at": CLOCK[vendor],
        **{name: f"%({name})s" for name in ("token", "worker_id", "worker_name", "pid")},
    }
    values = {
        name: opened.get(name) or _literal(field.get_default())
        for name, field in _fields(ATTEMPT).items()
        if not field.primary_key
    }
    insert = OPEN.format(
        columns=", ".join(values),
        values=", ".join(values.values()),
        started="started" if vendor == "postgresql" else "schedules_run WHERE id = %(run_id)s",
    )
    return update, insert


def end(*, using: str, run_id: int, token: Any, run: Row, closing: Closing, unless_cancelled: bool) -> bool:
    """T5 or T6, with the attempt closed and its output kept. False, and nothing written, where it lost."""
    connection = connections[using]
    statements = _end_statements(
        connection.vendor,
        _assigned(run),
        _assigned(closing.columns),
        tuple(closing.output or ()),
        unless_cancelled,
    )
    parameters = {
        "run_id": run_id,
        "attempt_id": closing.attempt_id,
        **_parameters(RUN, {"token": token}, connection, prefix=""),
        **_parameters(RUN, run, connection, prefix="run_"),
        **_parameters(ATTEMPT, closing.columns, connection, prefix="attempt_"),
        **_parameters(OUTPUT, closing.output or {}, connection, prefix="output_"),
    }
    execute = _end_at_once if connection.vendor == "postgresql" else _end_in_steps
    return execute(connection, statements, parameters)


def _end_at_once(connection: BaseDatabaseWrapper, statements: list[str], parameters: dict[str, Any]) -> bool:
    update, close, *keep = statements
    rest = [f"closed AS ({close} AND EXISTS (SELECT 1 FROM ended))"]
    rest += [f"kept AS ({insert} FROM ended)" for insert in keep]
    whole = f"WITH ended AS ({update} RETURNING id), {', '.join(rest)} SELECT 1 FROM ended"
    return prepared.fetch_one(connection, whole, parameters) is not None


def _end_in_steps(connection: BaseDatabaseWrapper, statements: list[str], parameters: dict[str, Any]) -> bool:
    update, *rest = statements
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        won: bool = cursor.execute(update, parameters).rowcount == 1
        if won:
            for statement in rest:
                cursor.execute(statement, parameters)
        return won


Names = tuple[tuple[str, bool], ...]
"""Columns to assign, and whether to the present time."""


@lru_cache
def _end_statements(
    vendor: str, run: Names, attempt: Names, output: tuple[str, ...], unless_cancelled: bool
) -> list[str]:
    """Two or three statements; the same few shapes come again and again."""
    now = CLOCK[vendor]
    update = END.format(
        run=_assignments(run, now, "run_"), unless=" AND NOT cancel_requested" if unless_cancelled else ""
    )
    close = CLOSE.format(attempt=_assignments(attempt, now, "attempt_"))
    values = ", ".join(f"%(output_{name})s" for name in output)
    return [update, close, *([KEEP.format(columns=", ".join(output), values=values)] if output else [])]


IN_TIME = {
    "postgresql": "statement_timestamp() <= schedules_run.scheduled_for"
    " + make_interval(secs => (definition->>'start_deadline')::float8)",
    "sqlite": "julianday('now') <= julianday(schedules_run.scheduled_for)"
    " + json_extract(definition, '$.start_deadline') / 86400.0",
}
"""Null, which is no deadline, makes it null."""


def _assigned(row: Row) -> Names:
    return tuple((name, isinstance(value, Now)) for name, value in row.items())


def _assignments(names: Names, now: str, prefix: str) -> str:
    return ", ".join(f"{name} = {now if is_now else f'%({prefix}{name})s'}" for name, is_now in names)


def _parameters(table: str, row: Row, connection: BaseDatabaseWrapper, *, prefix: str) -> dict[str, Any]:
    fields = _fields(table)
    return {
        prefix + name: fields[name].get_db_prep_save(value, connection)
        for name, value in row.items()
        if not isinstance(value, Now)
    }


def _literal(default: Any) -> str:
    """What a new row has in a column that says nothing yet."""
    return "NULL" if default is None else "''" if default == "" else str(int(default))


@lru_cache
def _model(table: str) -> type[models.Model]:
    return next(
        model for model in apps.get_app_config("schedules").get_models() if model._meta.db_table == table
    )


@lru_cache
def _fields(table: str) -> dict[str, models.Field[Any, Any]]:
    return {str(field.column): field for field in _model(table)._meta.concrete_fields}


@lru_cache
def _columns(table: str) -> list[str]:
    return list(_fields(table))


def _converters(table: str, connection: BaseDatabaseWrapper) -> dict[str, list[tuple[Any, Any]]]:
    """What makes Python values of an engine's own, by column: SQLite has no instants, for one."""
    key = (table, connection.vendor)
    if key not in _known_converters:
        _known_converters[key] = _find_converters(table, connection)
    return _known_converters[key]


_known_converters: dict[tuple[str, str], dict[str, list[tuple[Any, Any]]]] = {}


def _find_converters(table: str, connection: BaseDatabaseWrapper) -> dict[str, list[tuple[Any, Any]]]:
    columns = {name: field.get_col(table) for name, field in _fields(table).items()}
    return {
        name: [
            (convert, column)
            for convert in connection.ops.get_db_converters(column) + column.get_db_converters(connection)
        ]
        for name, column in columns.items()
    }


def _python(table: str, values: dict[str, Any], connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """`values` as the driver gave them, in the types of the columns."""
    converters = _converters(table, connection)
    for name in values:
        for convert, column in converters[name]:
            values[name] = convert(values[name], column, connection)
    return values


def _stored(table: str, values: dict[str, Any], connection: BaseDatabaseWrapper) -> Any:
    """A row that is in the table, with the defaults where `values` say nothing."""
    columns = {name: values.get(name, default) for name, default in _defaults(table)}
    return _model(table).from_db(connection.alias, list(columns), list(columns.values()))


@lru_cache
def _defaults(table: str) -> list[tuple[str, Any]]:
    return [(name, field.get_default()) for name, field in _fields(table).items()]
