"""Statements that PostgreSQL plans once for a connection, and not at each use. Called by `statements`.

Planning was half of what a claim cost the server. Behind a pooler that hands each transaction another
server connection a prepared statement is not there when it is wanted: the server says so, nothing was
done, and from then on this process sends the statements as they are.
"""

from __future__ import annotations

import hashlib
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import Error as DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

PLAN_SECONDS = 10.0
"""A plan is used this long: one made while the table was empty would read all of it for ever."""

NOT_THERE, ALREADY_THERE, CHANGED = "26000", "42P05", "0A000"
"""PostgreSQL's codes: no such statement; one of this name (of another client of the pooler); its result
has other columns since a migration."""


@dataclass(frozen=True)
class _Prepared:
    """`name` holds the text's digest: who else has prepared it, has prepared the same."""

    name: str
    prepare: str
    execute: str


@dataclass
class _Use:
    """When a connection last used a statement, and when it prepared it, by `time.monotonic()`."""

    at: float
    prepared_at: float | None = None


class _Known:
    """What each open connection has used, and whether preparing works at all."""

    def __init__(self) -> None:
        self.works = True
        self._uses: weakref.WeakKeyDictionary[Any, dict[str, _Use]] = weakref.WeakKeyDictionary()

    def of(self, raw: Any) -> dict[str, _Use]:
        return self._uses.setdefault(raw, {})


known = _Known()


def fetch_one(
    connection: BaseDatabaseWrapper, sql: str, parameters: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    """The first row of `sql`, whose parameters are `%(name)s`. Raises what the database raises.

    It is prepared when it is used for the second time within PLAN_SECONDS. Within a transaction it is
    sent as it is: an error there could not be made good.
    """
    connection.ensure_connection()
    if known.works and connection.get_autocommit() and not connection.in_atomic_block:
        statement = _prepared(sql)
        uses, now = known.of(connection.connection), time.monotonic()
        before = uses.get(statement.name)
        use = uses.setdefault(statement.name, _Use(now))
        is_busy, use.at = before is not None and now - use.at <= PLAN_SECONDS, now
        if is_busy:
            try:
                return _fetch_prepared(connection, statement, use, parameters)
            except DatabaseError as error:
                if getattr(error.__cause__, "pgcode", None) not in (NOT_THERE, ALREADY_THERE, CHANGED):
                    raise
                known.works = False
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return _first(cursor)


def _fetch_prepared(
    connection: BaseDatabaseWrapper, statement: _Prepared, use: _Use, parameters: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        if use.prepared_at is None or use.at - use.prepared_at > PLAN_SECONDS:
            old = "" if use.prepared_at is None else f"DEALLOCATE {statement.name}; "
            cursor.execute(old + statement.prepare)
            use.prepared_at = use.at
        cursor.execute(statement.execute, parameters)
        return _first(cursor)


def _first(cursor: Any) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = cursor.fetchone()
    return row


class _Numbers(dict[str, str]):
    """Gives each name its number at first sight: `$1`, `$2`, …"""

    def __missing__(self, name: str) -> str:
        self[name] = f"${len(self) + 1}"
        return self[name]


@lru_cache(maxsize=100)
def _prepared(sql: str) -> _Prepared:
    numbers = _Numbers()
    text = sql % numbers
    name = "beatkeeper_" + hashlib.sha256(text.encode()).hexdigest()[:24]
    given = ", ".join(f"%({parameter})s" for parameter in numbers)
    return _Prepared(name, f"PREPARE {name} AS {text}", f"EXECUTE {name} ({given})")
