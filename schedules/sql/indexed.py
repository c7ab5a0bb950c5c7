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
from schedules.models.run import UNUSUAL, UNUSUAL_TRIGGERS
from schedules.rules.states import State, Trigger


class _Among(Func):
    """`column IN ('a', 'b')`, in the order in which the models' indexes have it."""

    template = "%(expressions)s IN (%(members)s)"
    output_field = BooleanField()

    def __init__(self, column: str, members: Collection[StrEnum]) -> None:
        literals = ", ".join(f"'{member}'" for member in values(members))
        super().__init__(F(column), members=literals)


class StateAmong(_Among):
    def __init__(self, states: Collection[State]) -> None:
        super().__init__("state", states)


def ended_as(state: State) -> Q:
    """An end that few runs have, in words from which SQLite too concludes that `run_ended_as` holds them."""
    return Q(StateAmong(UNUSUAL), state=state)


def triggered_by(trigger: Trigger) -> Q:
    """Not by the clock alone, which most are; as `run_by_trigger` has it."""
    return Q(_Among("trigger", UNUSUAL_TRIGGERS), trigger=trigger)


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
