"""Doorbells as bytes: kombu makes one message of a kind, and the others are cut after it.

A genuine Celery message costs 0.3 ms to make, 90 % of what a dispatch would cost, and thousands of
doorbells differ in five values only. So the first is made by Celery and kombu themselves, with marks for
those values, and serialized as the transport does; for the rest the marks are replaced. `lines` sends
them. Whoever meets something that is not as expected raises ValueError, and `publish` goes the long way.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from amqp.serialization import dumps as amqp_dumps
from celery import current_app, signals
from celery.app.amqp import AMQP
from kombu import Producer
from kombu.utils.json import dumps

RUN_ATTEMPT = "schedules.run_attempt"
"""Sent by name: beat does not import the tasks."""

CONFIRM_SECONDS = 5
"""How long a broker with confirms may be silent; py-amqp would wait for ever."""

# Marks: values that occur nowhere else in a message.
RUN_ID = 7_310_598_824_671_035_529
MESSAGE_ID = "7c6b1d3e-52a9-4f0e-9d84-0b2f6a19c7e5"
NAME = "~the-name-of-the-schedule~"


class Route(NamedTuple):
    """What decides the bytes of a message beside its run: messages of one route are of one kind."""

    queue: str
    priority: int | None = None
    time_limit: float | None = None
    is_task: bool = False
    """Has the header by which Celery's own tools know what a schedule sent."""

    @property
    def options(self) -> dict[str, Any]:
        """As `send` takes them."""
        options: dict[str, Any] = {"queue": current_app.amqp.queues[self.queue]}
        if self.priority is not None:
            options["priority"] = self.priority
        if self.time_limit is not None:
            options["time_limit"] = self.time_limit
        return options

    def headers_for(self, name: str) -> dict[str, Any]:
        return {"headers": {"periodic_task_name": name}} if self.is_task else {}


def send(
    producer: Any, *, run_id: int, name: str, message_id: str, time_limit: float | None = None, **options: Any
) -> None:
    """One doorbell, the long way: what Celery's `send_task` does, less what it works out anew for each."""
    amqp: Any = current_app.amqp
    message = amqp.as_task_v2(
        message_id,
        RUN_ATTEMPT,
        args=(run_id,),
        argsrepr=f"({run_id},)",
        kwargsrepr="{}",
        shadow=name,
        ignore_result=True,
        time_limit=time_limit,
        origin="beat",
    )
    amqp.send_task_message(
        producer, RUN_ATTEMPT, message, retry=False, confirm_timeout=CONFIRM_SECONDS, **options
    )


def is_stock() -> bool:
    """Whether nobody changes Celery's messages, or listens to each: then copies of one are the same."""
    conf = current_app.conf
    listened = (signals.before_task_publish, signals.after_task_publish, signals.task_sent)
    return (
        type(current_app.amqp) is AMQP
        and conf.task_protocol == 2
        and conf.task_serializer == "json"
        and not conf.task_compression
        and not conf.task_send_sent_event
        and not any(signal.receivers for signal in listened)
    )


class Recorded(NamedTuple):
    """A message as kombu hands it to the channel."""

    message: Any
    exchange: str
    routing_key: str


class _Recorder:
    """A channel that keeps what it is to publish."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.recorded: Recorded | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **_: Any) -> None:
        self.recorded = Recorded(message, exchange, routing_key)


def record(channel: Any, route: Route) -> Recorded:
    """The doorbell of `route` with marks, made by Celery and kombu for `channel`, and not sent."""
    recorder = _Recorder(channel)
    channel_for_kombu: Any = recorder
    send(
        Producer(channel_for_kombu, auto_declare=False),
        run_id=RUN_ID,
        name=NAME,
        message_id=MESSAGE_ID,
        declare=[],
        **route.options,
        **route.headers_for(NAME),
    )
    if recorder.recorded is None or recorder.recorded.exchange:
        raise ValueError("the message does not go straight to its queue")
    return recorder.recorded


class RedisTemplate:
    """Doorbells of one route as kombu's Redis transport keeps them: JSON, with the body in base64."""

    def __init__(self, channel: Any, route: Route) -> None:
        message, exchange, self.queue = record(channel, route)
        self._body = _cut(message["body"], str(RUN_ID))
        channel._inplace_augment_message(message, exchange, self.queue)
        self.key = channel._q_for_pri(self.queue, channel._get_message_priority(message, reverse=False))
        tag, body, text = message["properties"]["delivery_tag"], message["body"], dumps(message)
        self._text = text.replace("%", "%%")
        for mark, place in (
            (dumps(NAME), "%(name)s"),
            (dumps(body), '"%(body)s"'),
            (dumps(tag), '"%(tag)s"'),
            (dumps(MESSAGE_ID), '"%(id)s"'),
            (str(RUN_ID), "%(run)s"),
        ):
            if mark not in self._text:
                raise ValueError(f"kombu's message lacks the mark for {place}")
            self._text = self._text.replace(mark, place)
        if self._fill(RUN_ID, NAME, MESSAGE_ID, tag) != text:
            raise ValueError("kombu's message cannot be cut")

    def fill(self, run_id: int, name: str) -> str:
        return self._fill(run_id, name, new_id(), new_id())

    def _fill(self, run_id: int, name: str, message_id: str, tag: str) -> str:
        before, after = self._body
        body = base64.b64encode(f"{before}{run_id}{after}".encode()).decode()
        return self._text % {"name": dumps(name), "body": body, "tag": tag, "id": message_id, "run": run_id}


class Frame(NamedTuple):
    """What py-amqp's writer of frames asks of a message."""

    body: bytes
    serialized: bytes

    def _serialize_properties(self) -> bytes:
        return self.serialized


class AmqpTemplate:
    """Doorbells of one route as AMQP frames carry them: the body, and the properties in binary.

    Texts in the table of headers have their length before them, and so has the table.
    """

    def __init__(self, channel: Any, route: Route) -> None:
        message, exchange, self.queue = record(channel, route)
        # Mandatory: a message for a queue that is gone comes back, instead of vanishing.
        self.arguments = amqp_dumps("Bssbb", (0, exchange, self.queue, True, False))
        self._body = _cut(_text(message.body), str(RUN_ID))
        serialized = message._serialize_properties()
        start = 2 + sum(1 + len(message.properties[name]) for name in ("content_type", "content_encoding"))
        (length,) = struct.unpack_from(">I", serialized, start)
        end = start + 4 + length
        self._head, self._tail = serialized[:start], _places(serialized[end:])
        self._table = _places(serialized[start + 4 : end])
        if self._fill(RUN_ID, NAME, MESSAGE_ID).serialized != serialized:
            raise ValueError("py-amqp's message cannot be cut")

    def fill(self, run_id: int, name: str) -> Frame:
        return self._fill(run_id, name, new_id())

    def _fill(self, run_id: int, name: str, message_id: str) -> Frame:
        before, after = self._body
        places = {
            b"id": message_id.encode(),
            b"name": _long(name),
            b"run": _long(f"({run_id},)"),
        }
        table = self._table % places
        serialized = b"%b%b%b%b" % (self._head, struct.pack(">I", len(table)), table, self._tail % places)
        return Frame(f"{before}{run_id}{after}".encode(), serialized)


def _places(part: bytes) -> bytes:
    part = part.replace(b"%", b"%%")
    for mark, place in ((_long(NAME), b"%(name)b"), (_long(f"({RUN_ID},)"), b"%(run)b")):
        part = part.replace(mark, place)
    return part.replace(MESSAGE_ID.encode(), b"%(id)b")


def _long(text: str) -> bytes:
    """As AMQP writes texts in a table."""
    encoded = text.encode()
    return struct.pack(">I", len(encoded)) + encoded


def _cut(text: str, mark: str) -> tuple[str, str]:
    before, found, after = text.partition(mark)
    if not found or mark in after:
        raise ValueError("the body does not name its run once")
    return before, after


def _text(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode()


def new_id() -> str:
    """A random UUID of version 4, as text."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


Template = RedisTemplate | AmqpTemplate
TemplateMaker = Callable[[Any, Route], Template]
