"""Tasks for the workers of other codebases: sent as django-celery-beat sends them, recorded as `sent`.

Called by `publish` for runs that T2 has marked, where their schedule's delivery is "message". The id of
the Celery task follows from the run, so a message that is sent twice is recognised: it is sent again where
beat dies between the send and the record (T2s), because nobody could tell whether it went out.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from amqp.exceptions import ChannelError, MessageNacked
from celery import current_app
from kombu import Exchange, Queue

from schedules import events
from schedules.messages import routing
from schedules.models import Run
from schedules.querysets import Doorbell, Sent
from schedules.rules import timing
from schedules.rules.admission import too_late
from schedules.rules.definition import Definition
from schedules.rules.states import Reason, State

RECORDED = 50
"""Messages after which what went out is recorded: that many may go out twice where beat is killed."""

RECORD_SECONDS = 1.0
"""The same by time, for a broker that is slow."""

LOOK_SECONDS = 0.5
"""How old what is known of a run may be when its message goes out."""

CONFIRM_SECONDS = 5
"""How long a broker with confirms may take for one; py-amqp would wait for ever."""

UNSENDABLE = (LookupError, ValueError, TypeError, OverflowError, struct.error)
"""What making a message raises; AMQP has no number beyond 64 bits, and no name beyond 255 bytes."""

REFUSALS = (*UNSENDABLE, ChannelError, MessageNacked)
"""Wrong with one message only: no such queue or exchange, a full queue, arguments that are no JSON."""

VERSION, RUN_BITS = 8, 48
"""Of the ids of tasks."""


def send(
    producer: Any, messages: Sequence[tuple[Doorbell, Definition]], now: datetime
) -> list[tuple[Doorbell, Exception]]:
    """Sends and records; returns those that are refused each on its own account.

    Raises what the broker's client raises where it is away. What went out before is recorded all the same.
    """
    looked = Looked([bell for bell, _ in messages])
    sender = Sender(producer.connection)
    refused: list[tuple[Doorbell, Exception]] = []
    try:
        for bell, definition in messages:
            run = looked.at(bell)
            if run is None or _is_too_late(run, definition, now):
                continue
            try:
                sender.send(run, bell, definition)
            except Exception as error:
                if not _is_refusal(error):
                    raise
                refused.append((bell, error))
                sender.renew()
            sender.record_some()
    finally:
        refused += sender.close()
    return refused


class Looked:
    """The runs of bells, read anew before one that waited while the broker took its time for others."""

    def __init__(self, bells: Sequence[Doorbell]) -> None:
        self._left = list(bells)
        self._runs: dict[int, Run] = {}
        self._read_at = -math.inf

    def at(self, bell: Doorbell) -> Run | None:
        """Its run; None where that was cancelled, or rung for by another beat, since the bell was made."""
        if time.monotonic() - self._read_at > LOOK_SECONDS:
            self._runs = Run.objects.in_bulk([other.run_id for other in self._left])
            self._read_at = time.monotonic()
        self._left.remove(bell)
        run = self._runs.get(bell.run_id)
        if run is None or run.state != State.QUEUED or run.dispatches != bell.dispatches:
            return None
        return run


def _is_refusal(error: Exception) -> bool:
    """kombu wraps what some transports say of a channel as if the whole connection were gone."""
    return isinstance(error, REFUSALS) or isinstance(error.__cause__, REFUSALS)


def task_id(run: Run) -> uuid.UUID:
    """The id of the run's Celery task: the same whenever it is sent, and another for every other run.

    A UUID of version 8 ("custom"): its first 48 bits are the run's key, so that what is heard of a task
    finds its run without a search; the rest tells installations apart that share a broker.
    """
    told = f"{run.pk} {run.schedule_id} {run.name} {run.created_at.isoformat()}"
    rest = int.from_bytes(hashlib.sha256(told.encode()).digest()[:10])
    number = run.pk << (128 - RUN_BITS) | rest
    number = number & ~(0xF << 76) | VERSION << 76
    return uuid.UUID(int=number & ~(0b11 << 62) | 0b10 << 62)


def run_of(text: str) -> tuple[int, uuid.UUID] | None:
    """The run's key and the id that a task's id may stand for; None where it is certainly not ours."""
    try:
        found = uuid.UUID(text)
    except (ValueError, AttributeError, TypeError):
        return None
    return (found.int >> (128 - RUN_BITS), found) if found.version == VERSION else None


class Sender:
    """A channel of our own: what a broker refuses closes the channel, and must not close another's."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._app = connection, current_app
        self._returned: dict[str, str] = {}
        self._unrecorded: list[tuple[Doorbell, Sent]] = []
        self._refused: list[tuple[Doorbell, Exception]] = []
        self._since = time.monotonic()
        self._channel: Any = None
        self.renew()

    def renew(self) -> None:
        if self._channel is not None:
            self._close_channel()
        self._connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        self._channel = self._connection.channel()
        # Only AMQP says what it could not deliver; other transports know no such thing.
        on_return = self._note_return if hasattr(self._channel, "events") else None
        self._producer = self._app.amqp.Producer(self._channel, on_return=on_return)

    def send(self, run: Run, bell: Doorbell, definition: Definition) -> None:
        """Raises LookupError where no queue took it, as far as the broker says so."""
        identity, router = task_id(run), _Router(self._app.amqp)
        send_task: Any = self._app.send_task
        send_task(
            definition.task,
            json.loads(definition.args),
            json.loads(definition.kwargs),
            task_id=str(identity),
            producer=self._producer,
            router=router,
            retry=False,
            mandatory=True,
            confirm_timeout=CONFIRM_SECONDS,
            add_to_parent=False,
            **_options(run, bell, definition),
        )
        if reason := self._returned.pop(str(identity), ""):
            raise LookupError(f"{router.destination} took no message: {reason}. Do its workers run?")
        self._unrecorded.append((bell, Sent(run.pk, identity, router.destination)))

    def record_some(self) -> None:
        if len(self._unrecorded) >= RECORDED or time.monotonic() - self._since > RECORD_SECONDS:
            self._record()

    def close(self) -> list[tuple[Doorbell, Exception]]:
        """Records the rest. Returns what the broker gave back late, because it confirms nothing."""
        try:
            self._record()
        finally:
            self._close_channel()
        return self._refused

    def _record(self) -> None:
        went = []
        for bell, sent in self._unrecorded:
            if reason := self._returned.pop(str(sent.token), ""):
                self._refused.append((bell, LookupError(reason)))
            else:
                went.append(sent)
        recorded = Run.objects.sent(went)
        self._unrecorded, self._since = [], time.monotonic()
        events.messages_sent(len(recorded))
        for sent in went:
            if sent.run_id not in recorded:
                events.message_not_recorded(sent.run_id)

    def _note_return(self, error: Exception, exchange: Any, routing_key: str, message: Any) -> None:
        identity = message.properties.get("correlation_id", "")
        self._returned[identity] = getattr(error, "reply_text", "") or str(error)

    def _close_channel(self) -> None:
        try:
            self._channel.close()
        except Exception as error:  # it is closed already, or its connection is lost
            events.channel_close_failed(error)


class _Router:
    """Celery's own routing, but for queues that this application does not know: those are not made.

    They belong to another codebase, which declares them with arguments of its own.
    """

    def __init__(self, amqp: Any) -> None:
        self._amqp = amqp
        self.destination = ""

    def route(self, options: dict[str, Any], *task: Any) -> dict[str, Any]:
        queue = options.get("queue")
        if isinstance(queue, str) and queue not in self._amqp.queues:
            theirs = Queue(queue, Exchange(queue, type="direct"), routing_key=queue)
            options = options | {"queue": theirs, "declare": []}
        found = routing.routed(options, *task)
        exchange, key = found.get("exchange"), found.get("routing_key")
        if exchange and key:
            found["declare"] = []
            self.destination = f'the exchange "{getattr(exchange, "name", exchange)}" with the key "{key}"'
        else:
            self.destination = f'the queue "{found["queue"].name}"'
        return found


def _options(run: Run, bell: Doorbell, definition: Definition) -> dict[str, Any]:
    """What django-celery-beat gives `apply_async` for the same row."""
    given: Mapping[str, Any] = {
        "queue": definition.queue or None,
        "exchange": definition.exchange or None,
        "routing_key": definition.routing_key or None,
        "priority": definition.priority,
        "expires": _expires(run, definition),
    }
    json.dumps(own := json.loads(definition.headers), allow_nan=False)  # as in `publish`
    headers = {**own, "periodic_task_name": bell.name, "celery_beat_task": True}
    return {name: value for name, value in given.items() if value is not None} | {"headers": headers}


def _expires(run: Run, definition: Definition) -> datetime | None:
    """The start deadline of the run, or the end of its schedule. A worker drops what it gets later."""
    if definition.start_deadline is not None:
        return run.scheduled_for + timedelta(seconds=definition.start_deadline)
    found = timing.from_dict(definition.timing)
    return found.not_after if isinstance(found, timing.WindowTiming) else None


def _is_too_late(run: Run, definition: Definition, now: datetime) -> bool:
    """Beyond the start deadline, which no worker of ours looks at here: the run is skipped."""
    if definition.start_deadline is None:
        return False
    deadline = timedelta(seconds=definition.start_deadline)
    if now <= run.scheduled_for + deadline:
        return False
    if Run.objects.skip(run, reason=Reason.TOO_LATE, detail=too_late(deadline)):
        events.run_skipped(run, reason=Reason.TOO_LATE)
    return True
