"""Instants and the clock in plain SQL, where the ORM would translate them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

CLOCK = {
    "postgresql": "statement_timestamp()",
    # In microseconds, as Django writes instants: they are compared as text.
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', 'now')",
}


def ask(question: str, using: str) -> tuple[Any, ...]:
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(question.format(clock=CLOCK[connection.vendor]), {})
        row: tuple[Any, ...] = cursor.fetchone()
        return row


def adapted(moment: datetime, connection: BaseDatabaseWrapper) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def read(value: datetime | str) -> datetime:
    """SQLite keeps instants as text, in UTC and without saying so."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
