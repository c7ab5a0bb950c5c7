"""Asks the workers whether they could run commands, and gathers what they wrote.

The rows of `CommandCheck` are the answer; the broadcast is only a doorbell. It names schedules by queue,
so that a worker can say at once, without the database, that it will look. Called by the command
`check_commands` and by the pages; the worker's side is `checking.work`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import current_app
from django.db.models import QuerySet
from kombu.exceptions import KombuError

from schedules import conf
from schedules.checking.subject import ByQueue
from schedules.errors import NotPossible
from schedules.models import CommandCheck, Worker
from schedules.querysets import database_now

CONTROL = "check_commands"
"""The name of the remote-control command."""

REPLY_SECONDS = 1.5
"""Silence after which no further worker is expected to say that it heard: each says so at once."""

# Beat has a mailbox too, which knows pings only and would log an error.
_NOT_BEAT = r"(?!celerybeat@)"

_TOO_OLD = "it does not know the request: restart it with this version of Beatkeeper"


@dataclass(frozen=True)
class Answer:
    """One worker. `problem`: why it will not look. Not `heard`: only the table says that it is there."""

    worker: str
    queues: frozenset[str]
    problem: str = ""
    heard: bool = True


@dataclass(frozen=True)
class Request:
    """Who was asked about what, and when by the database's clock."""

    schedules: ByQueue
    asked_at: datetime
    answers: tuple[Answer, ...]

    def expected(self) -> Iterator[tuple[str, int]]:
        """Worker and schedule of every row that may come."""
        for answer in self.answers:
            for queue in answer.queues if not answer.problem else ():
                yield from ((answer.worker, pk) for pk in self.schedules.get(queue, ()))

    @property
    def unserved(self) -> ByQueue:
        """Schedules in queues that no worker serves."""
        served = {queue for answer in self.answers for queue in answer.queues}
        return {queue: pks for queue, pks in self.schedules.items() if queue not in served}


def ask(schedules: ByQueue) -> Request:
    """Asks all workers; returns once they have said that they heard. Raises NotPossible without a broker."""
    asked_at, present = database_now(), _present()
    replies = _broadcast(schedules, reply=True, limit=len(present) or None)
    heard = {name: _answer(name, reply, present) for each in replies for name, reply in each.items()}
    silent = {name: Answer(name, queues, heard=False) for name, queues in present.items()}
    answers = (silent | heard).values()
    return Request(schedules, asked_at, tuple(sorted(answers, key=lambda answer: answer.worker)))


def ask_without_waiting(schedules: ByQueue) -> int:
    """Returns how many workers serve one of the queues, by the table. Raises NotPossible without a broker."""
    _broadcast(schedules, reply=False)
    return sum(bool(queues & schedules.keys()) for queues in _present().values())


def is_answered(request: Request) -> bool:
    """Whether every row that may come has come. One query."""
    there = set(_since(request).values_list("worker_name", "schedule_id"))
    return there.issuperset(request.expected())


def arrived(request: Request) -> list[CommandCheck]:
    """The rows that were written since the request. One query."""
    wanted = {pk for pks in request.schedules.values() for pk in pks}
    return [row for row in _since(request) if row.schedule_id in wanted]


def _since(request: Request) -> QuerySet[CommandCheck]:
    return CommandCheck.objects.filter(checked_at__gte=request.asked_at)


def _broadcast(schedules: ByQueue, *, reply: bool, limit: int | None = None) -> Sequence[dict[str, Any]]:
    """`limit`: so many answers are enough. Who comes late looks all the same."""
    arguments = {"schedules": schedules}
    try:
        replies = current_app.control.broadcast(
            CONTROL,
            arguments,
            reply=reply,
            timeout=REPLY_SECONDS,
            limit=limit,
            pattern=_NOT_BEAT,
            matcher="pcre",  # type: ignore[arg-type]  # kombu knows it by name
        )
    except (OSError, KombuError) as failure:
        raise NotPossible(
            f"No worker can be asked, because the broker does not answer ({failure}). "
            "Is it running, and is CELERY_BROKER_URL right?"
        ) from failure
    return replies or ()


def _answer(worker: str, reply: Any, present: dict[str, frozenset[str]]) -> Answer:
    accepted = reply.get("ok") if isinstance(reply, dict) else None
    if isinstance(accepted, dict):
        return Answer(worker, frozenset(map(str, accepted.get("queues", ()))))
    failure = str(reply.get("error", "") if isinstance(reply, dict) else reply)
    problem = _TOO_OLD if CONTROL in failure else f"it refuses: {failure[:200]}"
    return Answer(worker, present.get(worker, frozenset()), problem)


def _present() -> dict[str, frozenset[str]]:
    """Queues by name of the workers that the table knows as alive. The children of one share its name."""
    since = database_now() - conf.current().lease
    rows = Worker.objects.alive().filter(seen_at__gte=since).values_list("name", "queues")
    return {name: frozenset(queues.split(",")) - {""} for name, queues in rows}
