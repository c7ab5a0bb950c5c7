"""Runs become messages: doorbells that carry a run id. Called by `beat`.

First the row is marked and committed (T2), then the message goes out; a message that fails puts its
run back (T2e), and one that is lost is sent again when `redispatch_at` has passed. Doorbells go out many
at a time (`lines`); where anything about them, the app or the broker is special, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from celery import current_app

from schedules import conf, events, terms
from schedules.messages import envelope, lines, routing, sending
from schedules.messages.envelope import Route
from schedules.messages.lines import Ring
from schedules.messages.outbox import Outbox
from schedules.messages.ringing import Ringer, time_limit
from schedules.models import Revision, Run
from schedules.querysets import Doorbell, database_now
from schedules.rules.definition import Definition, Kind
from schedules.terms import Known, Terms

RUN_ATTEMPT = envelope.RUN_ATTEMPT

UNSENDABLE = sending.UNSENDABLE

Refused = list[tuple[Doorbell, Exception]]
"""Bells whose own message was refused, and why; the others went out."""


def connect() -> None:
    """Opens the connection and declares the queues, so that the first doorbell need not wait for it.

    A queue that the broker refuses is the trouble of its own runs alone.
    """
    with current_app.producer_or_acquire() as producer:
        for queue in current_app.amqp.queues.values():
            try:
                routing.declare(producer, queue)
            except routing.QueueRefused as error:
                events.part_failed("publish", error)


Listen = Callable[[], None]
"""Called before a message goes to another codebase; returns when somebody listens for its end."""


def publish_due(
    now: datetime, *, limit: int = 500, outbox: Outbox | None = None, listen: Listen = lambda: None
) -> int:
    """Sends messages for at most `limit` runs; returns how many went out.

    Raises what the broker's client raises where it cannot be reached; the runs then wait in the table.
    `outbox` remembers how many messages are outstanding; without it they are counted.
    """
    values = conf.current()
    outbox = Outbox(0) if outbox is None else outbox
    outbox.recount(Run.objects.outstanding)
    full = outbox.full(values.doorbells)
    bells = Run.objects.take_for_publishing(
        now,
        limit=limit,
        full=full,
        delays=values.redispatch_seconds,
        again=outbox.missing(lambda: _missing(now)),
    )
    outbox.count(bells)
    outbox.rang_again(bells)
    return _ring(bells, now, outbox, listen)


def publish_opened(outbox: Outbox, *, limit: int = 1000, listen: Listen = lambda: None) -> int:
    """As `publish_due`, for runs that dispatch has opened as queued and left in `outbox`.

    They are late by whatever happens here before they are sent, so everything else comes after.
    """
    sent = _ring(outbox.take(limit), None, outbox, listen)
    outbox.recount(Run.objects.outstanding)
    return sent


def give_back(outbox: Outbox) -> None:
    """This beat stops: what it has not rung is for any beat to publish, at once."""
    Run.objects.unpublish(outbox.close())


def _missing(now: datetime) -> dict[str, int]:
    """How many messages the broker may have lost, of queues whose length it tells and that are overdue.

    A backlog is no loss: while a queue holds as many messages as runs wait for theirs, none is sent again,
    but for the probes of the outbox.
    """
    overdue = [queue for queue in Run.objects.overdue(now) if queue]
    if not overdue:
        return {}
    outstanding = Run.objects.outstanding()
    with current_app.producer_or_acquire() as producer:
        channel = producer.channel
        line = lines.line(channel)
        if line is None:
            return {}
        try:
            return {
                queue: max(outstanding.get(queue, 0) - line.length(channel, queue), 0) for queue in overdue
            }
        except BaseException:
            lines.forget(channel)
            raise


def _ring(bells: Sequence[Doorbell], now: datetime | None, outbox: Outbox, listen: Listen) -> int:
    if not bells:
        return 0
    events.before_publish(bells)
    try:
        sent = _send_all(bells, now, listen)
    except Exception as error:
        Run.objects.unpublish([*bells, *outbox.close()])
        events.publish_failed(len(bells), error)
        raise
    outbox.open()
    events.published(sent)
    return sent


def _send_all(bells: Sequence[Doorbell], now: datetime | None, listen: Listen) -> int:
    """All or none where the broker fails, which raises: a run that is rung twice is claimed once.

    A run whose own message is refused waits longer and does not stop the others. `now` is asked of the
    database where it is not given and something needs it: a plain doorbell does not.
    """
    sorted_ = _sort(bells)
    refused: Refused = []
    if sorted_.alike:
        refused += _send_alike(sorted_.alike)
    if sorted_.special:
        refused += _send_special(sorted_.special)
    if sorted_.messages:
        listen()
        with current_app.producer_or_acquire() as producer:
            now = now or database_now()
            refused += sending.send(producer, _with_definitions(sorted_.messages), now)
    alike: dict[tuple[type, str], tuple[Exception, list[Doorbell]]] = {}
    for bell, refusal in refused:
        alike.setdefault((type(refusal), str(refusal)), (refusal, []))[1].append(bell)
    for refusal, some in alike.values():  # a full queue refuses a thousand
        _give_back(some, refusal, now or database_now(), _seconds_after(refusal))
        if not isinstance(refusal, lines.Returned):
            for bell in some:
                Run.objects.explain_waiting(bell.run_id, detail=f"Not sent, and tried again later: {refusal}")
    return len(bells) - len(refused)


def _seconds_after(refusal: Exception) -> float:
    values = conf.current()
    if isinstance(refusal, lines.Returned):  # its queue is declared before the next try
        return values.publish_retry_seconds
    mendable = isinstance(refusal, routing.QueueRefused)  # by whoever looks after the broker
    return values.redispatch_seconds[0 if mendable else -1]


class Sorted(NamedTuple):
    """Bells by the way in which they go out. `messages` are for the workers of another codebase."""

    alike: list[tuple[Doorbell, Route]]
    special: list[Doorbell]
    messages: list[Doorbell]


def _sort(bells: Sequence[Doorbell]) -> Sorted:
    known = terms.learn({bell.digest: bell.revision_id for bell in bells if bell.revision_id})
    sorted_ = Sorted([], [], [])
    is_stock = envelope.is_stock()
    for bell in bells:
        found = known.get(bell.digest)
        of = found.terms if isinstance(found, Known) else None
        if of is not None and of.is_message:
            sorted_.messages.append(bell)
        elif is_stock and (route := _route(bell, of)) is not None:
            sorted_.alike.append((bell, route))
        else:
            sorted_.special.append(bell)
    return sorted_


def _route(bell: Doorbell, of: Terms | None) -> Route | None:
    """Where a doorbell like many others goes; None for one with a way or with headers of its own."""
    if bell.queue and (of is None or of.definition.kind == Kind.COMMAND):
        return Route(bell.queue) if bell.queue in current_app.amqp.queues else None
    if of is None or not of.is_plain_task:
        return None
    queue = bell.queue or current_app.conf.task_default_queue
    if queue not in current_app.amqp.queues or not (bell.queue or not current_app.conf.task_routes):
        return None
    exchange = current_app.amqp.queues[queue].exchange
    if exchange is not None and exchange.type != "direct":  # Celery sends through it
        return None
    return Route(queue, of.definition.priority, time_limit(of.definition), is_task=True)


def _send_alike(bells: Sequence[tuple[Doorbell, Route]]) -> Refused:
    """Many at a time, where the broker has a line for that; else one by one."""
    by_id = {bell.run_id: bell for bell, _ in bells}
    with current_app.producer_or_acquire() as producer:
        channel = producer.channel
        line = lines.line(channel)
        if line is not None:
            refused = _refused_queues(producer, {route.queue for _, route in bells})
            rings = [
                Ring(route, bell.run_id, bell.name) for bell, route in bells if route.queue not in refused
            ]
            try:
                returned = line.send(channel, rings)
            except UNSENDABLE as error:  # kombu has changed, or one of them cannot be sent: one by one
                events.part_failed("lines", error)
                lines.forget(channel)
            except BaseException:
                lines.forget(channel)
                raise
            else:
                back = [(by_id[run_id], error) for run_id, error in returned.items()]
                return back + [
                    (bell, refused[route.queue]) for bell, route in bells if route.queue in refused
                ]
    return _send_special([bell for bell, _ in bells])


def _refused_queues(producer: Any, names: Collection[str]) -> dict[str, Exception]:
    """Those of the queues that the broker does not let us declare, and why."""
    refused: dict[str, Exception] = {}
    for name in names:
        try:
            routing.declare(producer, current_app.amqp.queues[name])
        except routing.QueueRefused as error:
            refused[name] = error
    return refused


def _send_special(bells: Sequence[Doorbell]) -> Refused:
    definitions = dict(_with_definitions(bells))
    refused: Refused = []
    with current_app.producer_or_acquire() as producer, _batch(producer):
        ring = Ringer(producer)
        for bell in bells:
            try:
                ring(bell, definitions.get(bell))
            except UNSENDABLE as error:
                refused.append((bell, error))
    return refused


def _batch(producer: Any) -> AbstractContextManager[Any]:
    """One round trip for all messages, where the transport can do that (Redis)."""
    return producer.batch() if producer.supports_batch_publish else nullcontext()


def _with_definitions(bells: Sequence[Doorbell]) -> list[tuple[Doorbell, Definition]]:
    """The bells of Celery tasks, whose messages need more than their queue, with all that is to be known."""
    wanted = {bell.revision_id for bell in bells if bell.revision_id}
    found = {}
    for row in Revision.objects.filter(pk__in=wanted, definition__kind=Kind.TASK.value):
        with suppress(LookupError, TypeError, ValueError):  # of another version: its worker says so
            found[row.pk] = Definition.from_dict(row.definition)
    return [(bell, found[bell.revision_id]) for bell in bells if bell.revision_id in found]


def _give_back(bells: Sequence[Doorbell], error: Exception, now: datetime, seconds: float) -> None:
    Run.objects.unpublish(bells, available_at=now + timedelta(seconds=seconds))
    events.publish_failed(len(bells), error)
