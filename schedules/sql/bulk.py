"""Two set-based statements that the ORM cannot say, for both engines. Called by `querysets` and `catalog`.

Rows are dictionaries of field names to Python values; every row has the same keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

MAX_PARAMETERS = 30_000
"""SQLite takes 32,766 parameters a statement, PostgreSQL 65,535."""

Row = dict[str, Any]


def insert(
    model: type[models.Model],
    rows: Sequence[Row],
    *,
    using: str,
    unless: str = "",
    returning: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Inserts `rows` and returns "pk" and the columns named in `returning` of those that went in.

    `unless` names the conflict target whose violation leaves a row out, such as
    "(a, b) WHERE c = 'd'"; any other violation raises IntegrityError.
    """
    connection = connections[using]
    inserted: list[dict[str, Any]] = []
    for chunk in _chunks(rows):
        sql = _insert_statement(model, chunk, connection, unless, returning)
        with connection.cursor() as cursor:
            cursor.execute(sql, _parameters(_fields(model, chunk[0]), chunk, connection))
            inserted += [dict(zip(("pk", *returning), row, strict=True)) for row in cursor.fetchall()]
    return inserted


def _insert_statement(
    model: type[models.Model],
    rows: Sequence[Row],
    connection: BaseDatabaseWrapper,
    unless: str,
    returning: Sequence[str],
) -> str:
    fields = _fields(model, rows[0])
    columns = ", ".join(_column(field, connection) for field in fields)
    values = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(rows))
    returned = _fields(model, dict.fromkeys(("pk", *returning)))
    wanted = ", ".join(_column(field, connection) for field in returned)
    table = connection.ops.quote_name(model._meta.db_table)
    conflict = f" ON CONFLICT {unless} DO NOTHING" if unless else ""
    return f"INSERT INTO {table} ({columns}) VALUES {values}{conflict} RETURNING {wanted}"


def update(model: type[models.Model], rows: Sequence[Row], *, using: str) -> None:
    """Sets, for each row, the columns that it names; "pk" finds it."""
    connection = connections[using]
    for chunk in _chunks(rows):
        _update_chunk(model, chunk, connection)


def _update_chunk(model: type[models.Model], rows: Sequence[Row], connection: BaseDatabaseWrapper) -> None:
    fields = _fields(model, rows[0])
    table = connection.ops.quote_name(model._meta.db_table)
    key = _column(model._meta.pk, connection)
    values = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(rows))
    assignments = ", ".join(_assignment(field, connection) for field in fields if not field.primary_key)
    names = ", ".join(_column(field, connection) for field in fields)
    sql = (
        f"WITH given ({names}) AS (VALUES {values}) UPDATE {table} SET {assignments} "
        f"FROM given WHERE {table}.{key} = given.{key}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, _parameters(fields, rows, connection))


def _assignment(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    column = _column(field, connection)
    # On PostgreSQL a VALUES column that is NULL in every row would otherwise be text.
    cast = f"::{field.db_type(connection)}" if connection.vendor == "postgresql" else ""
    return f"{column} = given.{column}{cast}"


def _column(field: models.Field[Any, Any], connection: BaseDatabaseWrapper) -> str:
    return connection.ops.quote_name(str(field.column))


def _fields(model: type[models.Model], row: Row) -> list[models.Field[Any, Any]]:
    """The concrete fields of the model's own table, in the order of `row`."""
    own = {field.attname: field for field in model._meta.local_concrete_fields}
    own |= {field.name: field for field in model._meta.local_concrete_fields}
    own["pk"] = model._meta.pk
    return [own[name] for name in row]


def _parameters(
    fields: Sequence[models.Field[Any, Any]], rows: Sequence[Row], connection: BaseDatabaseWrapper
) -> list[Any]:
    """The values as the driver takes them. Most columns of a batch repeat a few: each is prepared once."""
    columns = [
        _prepared(field, list(values), connection)
        for field, values in zip(fields, zip(*(row.values() for row in rows), strict=True), strict=True)
    ]
    return [value for row in zip(*columns, strict=True) for value in row]


def _prepared(field: models.Field[Any, Any], values: list[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    if isinstance(field, models.JSONField):  # its values need not be hashable
        return [field.get_db_prep_save(value, connection) for value in values]
    known = {value: field.get_db_prep_save(value, connection) for value in set(values)}
    return [known[value] for value in values]


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    if not rows:
        return
    size = MAX_PARAMETERS // len(rows[0])
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        yield chunk
