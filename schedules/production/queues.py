"""Are the queues served in which runs will wait, and does a message reach one? Called by `fleet`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from shlex import quote
from typing import Any

from schedules import conf
from schedules.messages import routing
from schedules.models import Schedule, Worker
from schedules.rules.definition import Definition, Delivery, Kind, Mode
from schedules.rules.production import MANAGE, Finding, error, ok, some, warning

START_WORKER = "celery -A scheduler worker -Q {queue}"
LOOKED_AT = 1000


def look(workers: Iterable[Worker]) -> Iterator[Finding]:
    """Schedules whose runs would wait for ever: no worker serves their queue, or no queue takes them."""
    served = {queue for row in workers for queue in served_by(row)}
    unread: dict[str, list[str]] = {}
    unroutable: dict[str, list[str]] = {}
    shut_out: list[str] = []
    for name, definition in _live():
        if definition.delivery == Delivery.MESSAGE:
            continue  # the workers of another codebase are not in our tables
        if definition.kind == Kind.COMMAND and conf.current().commands == "off":
            shut_out.append(name)
        try:
            wanted = routing.queues_of(definition)
        except (LookupError, ValueError, TypeError) as problem:
            unroutable.setdefault(str(problem.args[0] if problem.args else problem), []).append(name)
            continue
        if not served.intersection(wanted):
            unread.setdefault(wanted[0], []).append(name)
    yield from _unread(unread, served)
    yield from _unroutable(unroutable)
    if shut_out:
        yield warning(
            "queues.commands_off",
            f"{len(shut_out)} schedules run commands, which these settings refuse: {some(shut_out)}.",
            why="A worker with BEATKEEPER_COMMANDS=off records each of their runs as failed.",
            do="Let their queue be served by workers with other settings, or disable them.",
            run="BEATKEEPER_COMMANDS=shell celery -A scheduler worker -Q commands -P threads",
        )


def served_by(worker: Worker) -> set[str]:
    return {queue.strip() for queue in worker.queues.split(",")} - {""}


def are_wanted(names: Iterable[str], *, by: Iterable[int]) -> bool:
    """Whether one of the schedules with these ids is live and goes there: then `look` speaks of the queue."""
    few = sorted(by)[:LOOKED_AT]
    return any(_goes_to(definition).intersection(names) for _, definition in _live(pk__in=few))


def _goes_to(definition: Definition) -> set[str]:
    try:
        return set(routing.queues_of(definition))
    except (LookupError, ValueError, TypeError):
        return set()


def _live(**only: Any) -> Iterator[tuple[str, Definition]]:
    rows = Schedule.objects.live().filter(enabled=True, mode=Mode.LIVE.value, revision__isnull=False, **only)
    for name, stored in rows.values_list("name", "revision__definition").iterator(chunk_size=2000):
        try:
            yield name, Definition.from_dict(stored)
        except (LookupError, TypeError, ValueError):
            continue  # it is set aside, which another check names


def _unread(unread: dict[str, list[str]], served: Iterable[str]) -> Iterator[Finding]:
    for queue, names in sorted(unread.items()):
        yield error(
            "queues.unread",
            f'No live worker serves the queue "{queue}" of {_counted(names)}: {some(names)}.',
            why="Their runs wait until one does.",
            do=f"{START_WORKER.format(queue=queue)}  (or give the schedules another queue)",
            run=START_WORKER.format(queue=quote(queue)),
        )
    if not unread and served:
        yield ok(
            "queues.read", f"Every queue of a live schedule has a worker; served: {some(sorted(served))}."
        )


def _unroutable(unroutable: dict[str, list[str]]) -> Iterator[Finding]:
    for reason, names in sorted(unroutable.items()):
        yield error(
            "queues.unroutable",
            f"Messages of {_counted(names)} reach no queue ({reason}): {some(names)}.",
            why="Their runs wait for ever.",
            do="Correct queue, exchange or routing key, or declare the queue (BEATKEEPER_QUEUES) everywhere.",
            run=f"{MANAGE} export_schedules > s.yaml; $EDITOR s.yaml; {MANAGE} apply_schedules s.yaml",
        )


def _counted(names: Sequence[str]) -> str:
    return "1 schedule" if len(names) == 1 else f"{len(names):,} schedules"
