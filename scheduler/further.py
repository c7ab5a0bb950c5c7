"""Queues besides `commands` and `tasks`: `up` serves one from when a schedule names it.

Only with files as the broker, which nobody reads but this machine. Elsewhere a queue may be there so that its
runs go to a certain host or account, so `up` starts nothing and says which command does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from django.db.models import Q

from scheduler.supervisor import MOST_ROLES, Role, Supervisor
from schedules.messages import routing
from schedules.models import Revision, Schedule
from schedules.rules.definition import Definition, Delivery, Kind, Mode

# Seconds between two looks whether a schedule has changed: one row of an index.
LOOK = 2.0
# The roles that `up` has from its start, and a few that come and go.
OTHERS = 6
_OTHER_POOL = (
    'The queue "{}" is now named for tasks, too. Its worker has threads, where no timeout ends a task: '
    "stop `up` and start it again, and the worker has processes."
)
T = TypeVar("T")
ALWAYS = ("commands", "tasks")

MakeRole = Callable[[str, str, str], Role]
"""From a name for the worker, its queue and its pool."""


async def serve(supervisor: Supervisor, make_role: MakeRole) -> None:
    """Until it is cancelled. Ends at once where no further queue is declared, as by default."""
    declared = [name for name in settings.QUEUES if name not in ALWAYS]
    known: dict[str, str] = {}
    seen: int | None = None
    while declared:
        latest = await asyncio.to_thread(_asked, _latest_revision)
        if latest != seen and (found := await asyncio.to_thread(_asked, wanted)) is not None:
            seen = latest
            for queue in (queue for queue in declared if queue in found):
                if queue not in known:
                    _begin(supervisor, make_role, queue, found[queue], number=declared.index(queue))
                elif (known[queue], found[queue]) == ("threads", "prefork"):
                    supervisor.console.say(_OTHER_POOL.format(queue))
                known[queue] = found[queue]
        await asyncio.sleep(LOOK)


def _begin(supervisor: Supervisor, make_role: MakeRole, queue: str, pool: str, *, number: int) -> None:
    name = f"queue-{number + 1}"  # a queue's own name may be anything, a worker's may not
    if settings.EMBEDDED_BROKER and number < MOST_ROLES - OTHERS:
        supervisor.console.say(f'A schedule names the queue "{queue}": {name} is the worker that serves it.')
        supervisor.add(make_role(name, queue, pool))
    else:
        supervisor.console.say(
            f'A schedule names the queue "{queue}", which is not served here. Unless a worker elsewhere '
            f"does, start one: celery -A scheduler worker -Q '{queue}' -P {pool}"
        )


def wanted() -> dict[str, str]:
    """The pool for each queue that live schedules name: tasks need processes, commands do with threads.

    Raises DatabaseError.
    """
    rows = Schedule.objects.live().filter(enabled=True, mode=Mode.LIVE.value, delivery=Delivery.RUN.value)
    named = rows.filter(Q(queue__gt="") | Q(routing_key__gt=""), revision__isnull=False)
    found: dict[str, str] = {}
    columns = ("kind", "queue", "exchange", "routing_key")
    for kind, *where in named.values_list(*columns).order_by().distinct():
        example = named.filter(kind=kind, **dict(zip(columns[1:], where, strict=True))).first()
        for queue in _queues(example):
            if kind == Kind.TASK or queue not in found:
                found[queue] = "prefork" if kind == Kind.TASK else "threads"
    return found


def _queues(example: Schedule | None) -> tuple[str, ...]:
    if example is None or example.revision is None:
        return ()
    try:
        return routing.queues_of(Definition.from_dict(example.revision.definition))
    except (LookupError, TypeError, ValueError):  # it reaches no queue, which `check_production` names
        return ()


def _latest_revision() -> int:
    return Revision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _asked(question: Callable[[], T]) -> T | None:
    """None while the database does not answer."""
    try:
        return question()
    except DatabaseError:
        return None
    finally:
        connections.close_all()  # the thread that asks is another each time
