"""Conditions in the letters of the partial indexes, and several indexed reads as one statement.

SQLite uses a partial index only where the query repeats its condition literally, which a parameter is
not. Called by what reads the history: `retention` and the pages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import BooleanField, F, Func, Q, QuerySet

from schedules.models.choices import values
from schedules.models.run import UNUSUAL, UNUSUAL_TRIGGERS, Run
from schedules.rules.states import FAILURES, WAITING, State, Trigger


def literals(members: Collection[StrEnum]) -> str:
    return "({})".format(", ".join(f"'{member}'" for member in values(members)))


class _Among(Func):
    """`column IN ('a', 'b')`, in the order in which the models' indexes have it."""

    template = "%(expressions)s IN %(members)s"
    output_field = BooleanField()

    def __init__(self, column: str, members: Collection[StrEnum]) -> None:
        super().__init__(F(column), members=literals(members))


class StateAmong(_Among):
    def __init__(self, states: Collection[State]) -> None:
        super().__init__("state", states)


def ended_as(state: State) -> Q:
    """An end that few runs have, in words from which SQLite too concludes that `run_ended_as` holds them."""
    return Q(StateAmong(UNUSUAL), state=state)


def triggered_by(trigger: Trigger) -> Q:
    """Not by the clock alone, which most are; as `run_by_trigger` has it."""
    return Q(_Among("trigger", UNUSUAL_TRIGGERS), trigger=trigger)


_TROUBLED = f"""
WITH RECURSIVE failed(pk) AS (
    SELECT CAST(0 AS bigint)
    UNION ALL
    SELECT (
        SELECT CAST(r.schedule_id AS bigint) FROM {{runs}} r
        WHERE r.state IN {literals(FAILURES)} AND r.schedule_id > failed.pk
        ORDER BY r.schedule_id, r.finished_at LIMIT 1
    ) FROM failed WHERE failed.pk IS NOT NULL
)
SELECT pk FROM failed WHERE pk > 0
UNION ALL
SELECT schedule_id FROM {{runs}} WHERE state IN {literals(WAITING)} AND attempt > 0
LIMIT %s"""


def troubled_schedules(*, using: str, limit: int) -> set[int] | None:
    """The schedules with a failure on record, or with a retry to come; None: more than about `limit`.

    One step along the index of failures for each of them, not for each failure. Runs whose schedule is
    gone are not looked at.
    """
    runs = connections[using].ops.quote_name(Run._meta.db_table)
    with connections[using].cursor() as cursor:
        cursor.execute(_TROUBLED.format(runs=runs), [limit + 1])
        found = [pk for (pk,) in cursor.fetchall()]
    return None if len(found) > limit else set(found) - {None}


class Order(StrEnum):
    ANY = ""
    NEWEST_FIRST = "ORDER BY 1 DESC"
    OLDEST_FIRST = "ORDER BY 1"


def keys_of(
    branches: Iterable[QuerySet[Any]], *, using: str, limit: int, order: Order = Order.ANY
) -> list[int]:
    """Primary keys that the branches find, at most `limit`. Each is sliced, and read through its own index.

    One statement: a condition with OR would be answered by reading everything that fits, and sorting it.
    """
    parts: list[str] = []
    parameters: list[Any] = []
    for branch in branches:
        try:
            sql, given = branch.values("pk").query.get_compiler(using).as_sql()
        except EmptyResultSet:  # nothing can fit, such as a key among none
            continue
        parts.append(f"SELECT * FROM ({sql}) AS branch{len(parts)}")
        parameters += given
    if not parts:
        return []
    with connections[using].cursor() as cursor:
        cursor.execute(f"{' UNION ALL '.join(parts)} {order} LIMIT %s", [*parameters, limit])
        return [pk for (pk,) in cursor.fetchall()]
