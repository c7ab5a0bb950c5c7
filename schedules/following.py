"""What became of tasks that other codebases execute, as Celery's events tell it: sent -> succeeded | failed.

A part of beat. Only where their workers send events (`celery worker -E`); without them a run stays `sent`.
Any number of beats may listen: each event moves a run once (T9). Nothing is asked of the broker while no
schedule delivers by message.
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from kombu import Consumer

from schedules import events
from schedules.messages import sending
from schedules.models import Attempt, Revision, Run, Schedule
from schedules.querysets import Heard
from schedules.rules.definition import Delivery
from schedules.rules.states import Outcome, State

LISTEN_SECONDS = 2.0
"""How long one step listens, before beat may stop or see that the part lives."""

PATIENT_SECONDS = 3.0
"""So long the first message waits until somebody listens for what becomes of it."""

LOOK_SECONDS = 5.0
"""How often to look whether a schedule delivers by message, while none did."""

LOOK_AGAIN_SECONDS = 600.0
"""How often to look through all schedules: which is seldom, because no index helps."""

PATIENCE_SECONDS = 120.0
"""A worker may be quicker than the record that its task was sent: so long its event is kept for that."""

KEPT = 10_000
"""Events kept, and beginnings remembered; more than these are forgotten, oldest first."""

HEARTBEAT_SECONDS = 30
OVERLAP = 1000
"""Revisions that are looked at twice: their keys may be committed out of order."""

TRANSPORTS = ("amqp", "redis")
"""Brokers on which events reach every listener."""

LONGEST_RUNTIME = 10 * 365 * 86_400
"""Seconds; nothing runs for longer, so what says so is wrong."""

LONGEST_TEXT, LONGEST_TRACEBACK = 4000, 64 * 1024
_RAISED = re.compile(r"(?P<name>[A-Za-z_][\w.]*)\((?P<said>.*)\)", re.DOTALL)

_ENDS = ("task-succeeded", "task-failed", "task-revoked", "task-rejected", "task-unknown")
_BEGIN = "task-started"


class Follower:
    """One per beat: a connection while something is to be followed, and what was heard too early."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._looker = Looker()
        self._inbox: deque[Mapping[str, Any]] = deque(maxlen=KEPT)
        self._early: OrderedDict[str, tuple[float, Mapping[str, Any]]] = OrderedDict()
        self._begun: OrderedDict[str, float] = OrderedDict()
        self._connection: Any = None
        self._consumer: Any = None
        self._has_given_up = False
        self._asked: deque[threading.Event] = deque()

    def listen(self, *, wake: Callable[[], None]) -> None:
        """Called, in any thread, before a message goes out whose end is to be heard. `wake` begins a step.

        Returns when somebody listens, which is at once but for the first message. Not later than after
        PATIENT_SECONDS, and at once where the last try failed: the message matters more than its echo.
        """
        if self._consumer is not None or self._has_given_up:
            return
        answer = threading.Event()
        self._asked.append(answer)
        wake()
        answer.wait(PATIENT_SECONDS)

    def step(self) -> float:
        """Listens for a while. Returns the seconds until the next step; raises where the broker is away."""
        if self._asked:
            self._looker.want()
        if not self._looker.is_wanted():
            self._has_given_up = False
            self.close()
            return LOOK_SECONDS
        if self._consumer is None and not self._connect():
            self.give_up()
            return LOOK_SECONDS
        self._has_given_up = False
        self._answer()
        end = time.monotonic() + LISTEN_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                self._connection.drain_events(timeout=max(left, 0.1))
            except TimeoutError:
                break
        if self._connection.supports_heartbeats:
            self._connection.heartbeat_check()
        self._work_off()
        return 0.0

    def give_up(self) -> None:
        """For now: a later step tries again, and no message waits for that."""
        self._has_given_up = True
        self.close()
        self._answer()

    def _answer(self) -> None:
        while self._asked:
            self._asked.popleft().set()

    def close(self) -> None:
        """The next step connects anew, and what was heard before is kept."""
        connection, self._connection, self._consumer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:
                events.channel_close_failed(error)

    def _connect(self) -> bool:
        connection = self._app.connection_for_read(heartbeat=HEARTBEAT_SECONDS)
        if connection.transport.driver_type not in TRANSPORTS:
            return False
        self._connection = connection
        connection.ensure_connection(max_retries=1, timeout=5)
        handlers = dict.fromkeys((_BEGIN, *_ENDS), self._take_in)
        receiver = self._app.events.Receiver(
            connection, handlers=handlers, routing_key="task.#", queue_exclusive=True, queue_durable=False
        )
        consumer = Consumer(
            receiver.channel,
            queues=[receiver.queue],
            callbacks=[receiver._receive],
            accept=receiver.accept,
            no_ack=True,
        )
        consumer.consume()
        self._consumer = consumer
        return True

    def _take_in(self, event: Mapping[str, Any]) -> None:
        """Most events are of tasks that somebody else sent: they end here."""
        if sending.run_of(event.get("uuid", "")) is not None and not event.get("requeue"):
            if event["type"] == _BEGIN:
                _remember(self._begun, event["uuid"], time.monotonic())
            self._inbox.append(event)

    def _work_off(self) -> None:
        """An event leaves the inbox when it is dealt with: the database may be away meanwhile."""
        self._try_early_ones()
        while self._inbox:
            try:
                self._hear(self._inbox[0])
            except (OperationalError, InterfaceError):
                raise
            except Exception as error:  # one bad event, whatever somebody put into it, stops no other
                events.part_failed("follow", error)
            self._inbox.popleft()

    def _hear(self, event: Mapping[str, Any]) -> None:
        known = sending.run_of(event["uuid"])
        assert known is not None
        if event["type"] == _BEGIN:
            Run.objects.hear_begin(*known, worker=_text(event, "hostname", 255))
        elif not self._record(known, event):
            _remember(self._early, event["uuid"], (time.monotonic(), event))

    def _record(self, known: tuple[int, UUID], event: Mapping[str, Any]) -> bool:
        """False where the run is not on record as sent: not yet, or not any more, or it is not ours."""
        heard = heard_in(event, begun=self._begun.get(event["uuid"]))
        if not Run.objects.hear_end(*known, heard):
            return False
        self._begun.pop(event["uuid"], None)
        events.task_heard(known[0], heard.state)
        run = Run.objects.get(pk=known[0])
        events.attempt_finished(run, Attempt.objects.get(run=run, number=1))
        return True

    def _try_early_ones(self) -> None:
        for text, (since, event) in list(self._early.items()):
            known = sending.run_of(text)
            if time.monotonic() - since > PATIENCE_SECONDS or (known and self._record(known, event)):
                del self._early[text]


class Looker:
    """Whether any schedule delivers by message, cheaply: all of them seldom, new revisions often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wanted = False
        self._look_at = self._look_again_at = -math.inf
        self._seen = 0

    def is_wanted(self) -> bool:
        now = self._clock()
        if now >= self._look_again_at:
            self._seen = self._latest()
            self._wanted = Schedule.objects.live().filter(delivery=Delivery.MESSAGE.value).exists()
            self._look_again_at = now + LOOK_AGAIN_SECONDS  # only now: while the database is away, each time
        elif not self._wanted and now >= self._look_at:
            self._wanted = self._is_new_one()
            self._look_at = now + LOOK_SECONDS
        return self._wanted

    def want(self) -> None:
        """Somebody knows of one: no need to look for a while."""
        self._wanted, self._look_again_at = True, self._clock() + LOOK_AGAIN_SECONDS

    def _is_new_one(self) -> bool:
        fresh = Revision.objects.filter(pk__gt=self._seen - OVERLAP)
        found = fresh.filter(definition__delivery=Delivery.MESSAGE.value).exists()
        self._seen = self._latest()
        return found

    @staticmethod
    def _latest() -> int:
        return Revision.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def heard_in(event: Mapping[str, Any], *, begun: float | None) -> Heard:
    """What the event of an end says. `begun` is the monotonic moment at which its beginning was heard."""
    runtime = event.get("runtime")
    if not isinstance(runtime, int | float) or not 0 <= runtime < LONGEST_RUNTIME:  # also false for NaN
        runtime = None if begun is None else time.monotonic() - begun
    span = None if runtime is None else timedelta(seconds=runtime)
    worker = _text(event, "hostname", 255)
    if event["type"] == "task-succeeded":
        result = _text(event, "result", LONGEST_TEXT)
        return Heard(State.SUCCEEDED, Outcome.SUCCEEDED, worker, span, result=result)
    error_class, error = _error(event)
    return Heard(
        *(State.FAILED, Outcome.FAILED, worker, span),
        error_class=error_class[:255],
        error=error,
        traceback=_text(event, "traceback", LONGEST_TRACEBACK),
    )


def _error(event: Mapping[str, Any]) -> tuple[str, str]:
    """The class and the text of a failure."""
    match event["type"]:
        case "task-failed":
            raised = _text(event, "exception", LONGEST_TEXT)
            found = _RAISED.fullmatch(raised)
            return (found["name"], found["said"].strip("'\"") or raised) if found else ("", raised)
        case "task-revoked" if event.get("expired"):
            return "Expired", "Its worker got it after its start deadline or end, and dropped it."
        case "task-revoked":
            ended = f" and ended it by signal {event['signum']}" if event.get("terminated") else ""
            return "Revoked", f"Somebody revoked it{ended}."
        case "task-unknown":
            return "NotRegistered", f"The worker knows no task {_text(event, 'name', 255) or 'of that name'}."
        case _:
            return "Rejected", "Its worker rejected the message."


def _text(event: Mapping[str, Any], name: str, longest: int) -> str:
    """Its end, if it is too long; without what no database takes."""
    said = str(event.get(name) or "")[-longest:].replace("\x00", "\ufffd")
    return said.encode("utf-8", "replace").decode()


def _remember(where: OrderedDict[str, Any], key: str, value: Any) -> None:
    where[key] = value
    while len(where) > KEPT:
        where.popitem(last=False)
