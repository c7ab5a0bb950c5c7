"""Looks at the commands of a worker's queues, and writes down what was found. Called by `control`.

Runs in a thread of the worker, which may be the parent of prefork children: no connection is open while
files are looked at, nor afterwards, so that no child inherits one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence

from django.db import IntegrityError, connection, transaction

from schedules.checking.process import Findings, examine
from schedules.checking.subject import command_definition, digest_of
from schedules.models import Attempt, CommandCheck, Run, Schedule
from schedules.occurrences import queue_of
from schedules.querysets import database_now
from schedules.rules.command.findings import Level, error
from schedules.rules.definition import Definition
from schedules.runner.planning import find_account
from schedules.worker import commands

BATCH = 500
"""Schedules that are looked at between two writes."""

_UPDATED = ["host", "account", "digest", "checked_at", "is_ok", "findings"]


def look_at(pks: Collection[int], *, worker: str, queues: Collection[str]) -> int:
    """Those that are in one of `queues`. Returns how many that were; raises DatabaseError."""
    count = 0
    waiting = sorted(pks)
    try:
        for start in range(0, len(waiting), BATCH):
            count += _look_at(waiting[start : start + BATCH], worker, queues)
    finally:
        connection.close()
    return count


def _look_at(pks: Sequence[int], worker: str, queues: Collection[str]) -> int:
    definitions = _definitions(pks, queues)
    _forget([pk for pk in pks if pk not in definitions], worker)
    connection.close()
    findings = dict(_findings(definitions))
    _store(_rows(definitions, findings, worker))
    connection.close()
    return len(definitions)


def _definitions(pks: Sequence[int], queues: Collection[str]) -> dict[int, Definition]:
    """What the table says now: the request may be older than an edit."""
    rows = Schedule.objects.live().filter(pk__in=pks).select_related("revision")
    found = ((row.pk, command_definition(row)) for row in rows)
    return {pk: each for pk, each in found if each is not None and queue_of(each) in queues}


def _forget(pks: Sequence[int], worker: str) -> None:
    """What the worker said of schedules that are not its own any more."""
    CommandCheck.objects.filter(worker_name=worker, schedule__in=pks).delete()


def _findings(definitions: Mapping[int, Definition]) -> Iterator[tuple[int, Findings]]:
    """A worker that would refuse a command does not look at its files: nobody learns here what is there."""
    now = database_now()
    allowed = {}
    for pk, definition in definitions.items():
        if refusal := commands.refusal_of(definition.command):
            text, _, advice = refusal.partition(". ")
            yield pk, [error("refused", text.rstrip("."), advice.rstrip(".")).to_dict()]
        else:
            allowed[pk] = commands.command_of(definition, Run(pk=0, scheduled_for=now), Attempt(number=1))
    connection.close()
    yield from examine(allowed)


def _rows(
    definitions: Mapping[int, Definition], findings: Mapping[int, Findings], worker: str
) -> list[CommandCheck]:
    now, host = database_now(), socket.gethostname()
    own_account = find_account(None, own_uid=os.geteuid()).name
    return [
        CommandCheck(
            schedule_id=pk,
            worker_name=worker,
            host=host,
            account=definition.run_as or own_account,
            digest=digest_of(definition),
            checked_at=now,
            is_ok=not any(finding["level"] == Level.ERROR for finding in findings[pk]),
            findings=findings[pk],
        )
        for pk, definition in definitions.items()
    ]


def _store(rows: Sequence[CommandCheck]) -> None:
    """One statement. A schedule whose row was deleted meanwhile does not lose the others theirs."""
    try:
        _upsert(rows)
    except IntegrityError:
        there = set(
            Schedule.objects.filter(pk__in=[row.schedule_id for row in rows]).values_list("pk", flat=True)
        )
        _upsert([row for row in rows if row.schedule_id in there])


def _upsert(rows: Sequence[CommandCheck]) -> None:
    with transaction.atomic():
        CommandCheck.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["schedule", "worker_name"],
            update_fields=_UPDATED,
        )
